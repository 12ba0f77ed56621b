"""Executes a scenario: stack, load, fault, then the checks."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.client import Client
from tests.faults.invariants import Figures, settled, wait_until_idle
from tests.faults.ledger import Ledger
from tests.faults.rebuilding import rebuild
from tests.faults.resource_limits import ResourceLimits
from tests.faults.result import Result, counted
from tests.faults.stack import Stack
from tests.faults.trial import Scenario, Trial
from tests.support.services import eventually


def run_scenario(scenario: Scenario, directory: Path) -> Result:
    """Run *scenario* with its state in *directory* and return the result."""
    began = time.monotonic()
    stack = Stack(directory, scenario.environ, proxied=scenario.proxied)
    figures: Figures | None = None
    errors: list[str] = []
    recovery = 0.0
    if scenario.before is not None:
        scenario.before(stack)
    try:
        with stack, ResourceLimits(stack.state / "run") as limits:
            ledger = Ledger(seed=len(scenario.name) * 1000 + ord(scenario.name[0]))
            client = Client(stack.gateways, stack.token, ledger)
            trial = Trial(scenario, stack, client, ledger, random.Random(scenario.name))
            with _collected(errors):
                _inject(trial)
            finished = time.monotonic()
            with _collected(errors):
                wait_until_idle(stack, within_seconds=scenario.idle_within_seconds)
                recovery = time.monotonic() - finished
                _settle(trial)
            with _collected(errors):
                figures = settled(stack, ledger, within_seconds=scenario.fill_within_seconds)
            if scenario.quiet:
                trial.violations["workers that exited by themselves"] = len(stack.self_exits())
            if not scenario.must_violate:
                with _collected(errors):
                    (scenario.afterwards or rebuild)(trial)
        if not scenario.must_violate:
            errors += limits.exceeded()
    finally:
        if scenario.before is not None:
            for mounted in (stack.state / "workers", stack.state):
                subprocess.run(["umount", "--quiet", str(mounted)], check=False)
    return Result(
        scenario.name,
        seconds=time.monotonic() - began,
        at=datetime.now(UTC),
        repetitions=scenario.repetitions,
        must_violate=scenario.must_violate,
        counts=counted(figures),
        violations={**(figures.violations if figures is not None else {}), **trial.violations},
        recovery_seconds=recovery,
        largest_process=limits.largest_process(),
        notes=trial.notes,
        error="\n".join(errors),
    )


def _inject(trial: Trial) -> None:
    scenario, client = trial.scenario, trial.client
    client.start(rate=scenario.rate, items=scenario.items)
    try:
        scenario.inject(trial)
    finally:
        client.stop() if scenario.items is None else client.wait()
    if scenario.items != 0:
        acknowledged = len(trial.ledger.ids("acknowledged"))
        trial.violations["loads mostly not acknowledged"] = int(acknowledged < len(trial.ledger.entries) / 2)
        trial.notes.append("responses " + ", ".join(f"{status}: {n}" for status, n in sorted(client.statuses.items())))


def _settle(trial: Trial) -> None:
    """Wait until suspended workers are resumed and detected, and their late writes are repaired."""
    seconds = trial.scenario.settle_seconds
    if seconds:
        eventually(lambda: not trial.stack.stopped(), "no worker is suspended", within_seconds=120, every_seconds=1.0)
        time.sleep(seconds)
        wait_until_idle(trial.stack, within_seconds=trial.scenario.idle_within_seconds)


@contextlib.contextmanager
def _collected(errors: list[str]) -> Iterator[None]:
    """Collect a failure and continue, because later checks still give information."""
    try:
        yield
    except Exception as failure:  # noqa: BLE001  # any failure fails the scenario
        errors.append("".join(traceback.format_exception(failure))[-2500:])
