"""Faults of clocks: the broker's and the gateways' run ahead, and a record has a time of next year.

Repeats are sent throughout, so a dedupe window that a wrong time has moved doubles events.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from schemas.topics import Topics
from tests.faults import shifted_clocks
from tests.faults.data_faults import take_times_of_records
from tests.faults.log_lines import CLOCK_IS_WRONG
from tests.faults.stack import Stack
from tests.faults.trial import Step, Trial
from tests.support.services import eventually

HOUR_SECONDS = 3_600
YEAR_SECONDS = 365 * 24 * HOUR_SECONDS
EFFECT_SECONDS = 8.0
"""Load with the wrong clock."""


def with_clocks(stack: Stack) -> None:
    """Give the gateways clocks that the test can move."""
    for kind in shifted_clocks.KINDS:
        _shift(stack, kind, 0)
    stack.set_environ(shifted_clocks.environ(stack.state))


def taking_times_of_records(trial: Trial) -> None:
    """Let the records set the broker's time, as a broker with another clock would."""
    asyncio.run(take_times_of_records(trial.stack, [Topics(trial.stack.kafka.topic_prefix).items]))
    time.sleep(3)


def _shift(stack: Stack, kind: str, seconds: int) -> None:
    shifted_clocks.shift(shifted_clocks.directory_of(stack.state), kind, seconds)


def ahead(*kinds: str, seconds: int) -> Step:
    """Let the clocks of *kinds* be *seconds* ahead under load, and then right again."""

    def run_ahead(trial: Trial) -> None:
        for kind in kinds:
            _shift(trial.stack, kind, seconds)
        time.sleep(EFFECT_SECONDS)
        for kind in kinds:
            _shift(trial.stack, kind, 0)
        time.sleep(EFFECT_SECONDS)

    return run_ahead


def record_of_next_year(trial: Trial) -> None:
    """Let the broker give one request's records a time of next year, then send repeats of everything before."""
    trial.client.stop()
    _shift(trial.stack, "broker", YEAR_SECONDS)
    time.sleep(2)
    trial.client.send([_track(number) for number in range(20)])
    _shift(trial.stack, "broker", 0)
    time.sleep(2)
    trial.client.start(rate=trial.scenario.rate)
    time.sleep(EFFECT_SECONDS)


def quiet_night(trial: Trial) -> None:
    """Send nothing while all clocks advance by ten hours, then send repeats of the evening's items."""
    trial.client.stop()
    for kind in shifted_clocks.KINDS:
        _shift(trial.stack, kind, 10 * HOUR_SECONDS)
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
    ("times of records", taking_times_of_records),
    ("broker two hours ahead and back", ahead("broker", seconds=2 * HOUR_SECONDS)),
    ("gateway two hours ahead", ahead("gateway", seconds=2 * HOUR_SECONDS)),
    ("record of next year", record_of_next_year),
    ("warned", require_warning),
    ("quiet night", quiet_night),
)
