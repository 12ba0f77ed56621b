"""One run of a scenario: stack, load, harm, and then everything is counted."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.bounds import Bounds
from tests.faults.client import Client
from tests.faults.invariants import Figures, check, wait_until_idle
from tests.faults.ledger import Ledger
from tests.faults.rebuilding import rebuild
from tests.faults.result import Result, counted
from tests.faults.stack import Stack
from tests.faults.trial import Scenario, Trial
from tests.support.services import eventually


def try_scenario(scenario: Scenario, directory: Path) -> Result:
    """Run *scenario* with its state in *directory* and return what was counted."""
    began = time.monotonic()
    stack = Stack(directory, scenario.environ, proxied=scenario.proxied)
    figures: Figures | None = None
    errors: list[str] = []
    recovery = 0.0
    if scenario.before is not None:
        scenario.before(stack)
    try:
        with stack, Bounds(stack.state / "run") as bounds:
            ledger = Ledger(seed=len(scenario.name) * 1000 + ord(scenario.name[0]))
            client = Client(stack.gateways, stack.token, ledger)
            trial = Trial(scenario, stack, client, ledger, random.Random(scenario.name))
            with _noted(errors):
                _harm(trial)
            answered = time.monotonic()
            with _noted(errors):
                wait_until_idle(stack, within_seconds=scenario.idle_within_seconds)
                recovery = time.monotonic() - answered
                _settle(trial)
            with _noted(errors):
                figures = check(stack, ledger)
            if scenario.quiet:
                trial.faults["workers that ended themselves"] = len(stack.own_ends())
            if not scenario.must_turn:
                with _noted(errors):
                    (scenario.afterwards or rebuild)(trial)
        if not scenario.must_turn:
            errors += bounds.exceeded()
    finally:
        if scenario.before is not None:
            subprocess.run(["umount", str(stack.state / "workers")], check=False)
    return Result(
        scenario.name,
        seconds=time.monotonic() - began,
        at=datetime.now(UTC),
        repetitions=scenario.repetitions,
        must_turn=scenario.must_turn,
        counts=counted(figures),
        faults={**(figures.faults if figures is not None else {}), **trial.faults},
        recovery_seconds=recovery,
        largest=bounds.largest(),
        notes=trial.notes,
        error="\n".join(errors),
    )


def _harm(trial: Trial) -> None:
    scenario, client = trial.scenario, trial.client
    client.start(rate=scenario.rate, items=scenario.items)
    try:
        scenario.harm(trial)
    finally:
        client.stop() if scenario.items is None else client.wait()
    if scenario.items != 0:
        acknowledged = len(trial.ledger.ids("acknowledged"))
        trial.faults["loads of which most is not acknowledged"] = int(acknowledged < len(trial.ledger.entries) / 2)
        trial.notes.append("answers " + ", ".join(f"{status}: {n}" for status, n in sorted(client.statuses.items())))


def _settle(trial: Trial) -> None:
    """Let workers that stopped themselves wake, be found out and mend what they did."""
    seconds = trial.scenario.settle_seconds
    if seconds:
        eventually(lambda: not trial.stack.stopped(), "no worker stands still", within_seconds=120, every_seconds=1.0)
        time.sleep(seconds)
        wait_until_idle(trial.stack, within_seconds=trial.scenario.idle_within_seconds)


@contextlib.contextmanager
def _noted(errors: list[str]) -> Iterator[None]:
    """Go on after a failure: what can still be counted tells more than the failure alone."""
    try:
        yield
    except Exception as failure:  # noqa: BLE001  # whatever it is, the scenario has failed
        errors.append("".join(traceback.format_exception(failure))[-2500:])
