"""Faults of clocks: the broker's and the gateways' run ahead, and a record has a time of next year.

Repeats are sent throughout, so a dedupe window that a wrong time has moved doubles events.
"""

from __future__ import annotations

import time
from typing import Any

from tests.faults import faked_clock
from tests.faults.log_lines import CLOCK_IS_WRONG
from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial
from tests.support.services import eventually

HOUR_SECONDS = 3_600
YEAR_SECONDS = 365 * 24 * HOUR_SECONDS
EFFECT_SECONDS = 8.0
"""Load with the wrong clock."""


def with_clocks(stack: Stack) -> None:
    """Give the broker and the gateways clocks that the test can move."""
    for kind in ("kafka", "gateway"):
        faked_clock.shift(stack.state, kind, 0)


def ahead(*kinds: str, seconds: int) -> Step:
    """Let the clocks of *kinds* be *seconds* ahead under load, and then right again."""

    def run_ahead(trial: Trial) -> None:
        for kind in kinds:
            faked_clock.shift(trial.stack.state, kind, seconds)
        time.sleep(EFFECT_SECONDS)
        for kind in kinds:
            faked_clock.shift(trial.stack.state, kind, 0)
        time.sleep(EFFECT_SECONDS)

    return run_ahead


def record_of_next_year(trial: Trial) -> None:
    """Let the broker give one request's records a time of next year, then send repeats of everything before."""
    trial.client.stop()
    faked_clock.shift(trial.stack.state, "kafka", YEAR_SECONDS)
    time.sleep(2)
    trial.client.send([_track(number) for number in range(20)])
    faked_clock.shift(trial.stack.state, "kafka", 0)
    time.sleep(2)
    trial.client.start(rate=trial.scenario.rate)
    time.sleep(EFFECT_SECONDS)


def quiet_night(trial: Trial) -> None:
    """Send nothing while all clocks advance by ten hours, then go on with repeats of the evening's items."""
    trial.client.stop()
    for kind in ("kafka", "gateway"):
        faked_clock.shift(trial.stack.state, kind, 10 * HOUR_SECONDS)
    time.sleep(3)
    trial.client.start(rate=trial.scenario.rate)
    time.sleep(EFFECT_SECONDS)


def require_warning(trial: Trial) -> None:
    """Require that a dedupe worker has warned of a clock."""

    def warned() -> bool:
        lines = [line for service in trial.stack.services("dedupe") for line in trial.stack.log(service).splitlines()]
        return any(" WARNING " in line and CLOCK_IS_WRONG in line for line in lines)

    eventually(warned, "a dedupe worker warns of a clock", within_seconds=30)


def _track(number: int) -> dict[str, Any]:
    return {
        "type": "track",
        "messageId": f"next-year-{number}",
        "userId": "ada",
        "event": "Order Completed",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "properties": {"number": number},
    }


CLOCKS = (
    ("broker two hours ahead and back", ahead("kafka", seconds=2 * HOUR_SECONDS)),
    ("gateway two hours ahead", ahead("gateway", seconds=2 * HOUR_SECONDS)),
    ("record of next year", record_of_next_year),
    ("warned", require_warning),
    ("quiet night", quiet_night),
)
