"""Several faults in one stack, one after the other: the guarantee is checked after each.

A violation is named after its fault, so that the report tells which of them caused it.
"""

from __future__ import annotations

import sys
import time
import traceback
from datetime import UTC, datetime

from tests.faults import merges
from tests.faults.invariants import settled
from tests.faults.trial import Step, Trial

DOUBLED = ("doubled", "doubled_source_offsets", "duplicates_doubled", "rejections_doubled")
"""What a merge could hide."""
FILL_SECONDS = 60.0
"""Time in which a table that lost rows must have them again."""


def in_turn(*faults: tuple[str, Step], fill_seconds: float = FILL_SECONDS) -> Step:
    """Inject each of *faults* under load; after each, wait until the pipeline is idle, and check."""

    def inject(trial: Trial) -> None:
        for name, fault in faults:
            try:
                fault(trial)
                checkpoint(trial, name, fill_seconds=fill_seconds)
            except Exception as failure:  # noqa: BLE001  # the faults after it still give information
                if not trial.client.sending:
                    trial.client.start(rate=trial.scenario.rate)
                trial.violations[f"{name}: failed"] = 1
                sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {name}: failed: {failure!r}\n")
                trial.notes.append(f"{name}: {''.join(traceback.format_exception(failure))[-1500:]}")

    return inject


def checkpoint(trial: Trial, name: str, *, fill_seconds: float = FILL_SECONDS) -> None:
    """Interrupt the load, compare tables and topics with the ledger, and note what fault *name* violated."""
    scenario = trial.scenario
    trial.client.stop()
    began = time.monotonic()
    try:
        figures = settled(
            trial.stack, trial.ledger, within_seconds=fill_seconds, idle_within_seconds=scenario.idle_within_seconds
        )
        if not any(figures.violations[name] for name in DOUBLED):
            merges.merge(trial.stack)
    finally:
        trial.client.start(rate=scenario.rate)
    for violation, count in figures.violations.items():
        trial.violations[f"{name}: {violation}"] = count
    trial.notes.append(f"{name}: {figures.events} events, complete after {time.monotonic() - began:.0f} s")
    # A run that is ended before its report still shows what it found.
    found = {violation: count for violation, count in figures.violations.items() if count}
    sys.stdout.write(f"{datetime.now(UTC):%H:%M:%S} {trial.notes[-1]}, {found or 'no violations'}\n")
    sys.stdout.flush()
