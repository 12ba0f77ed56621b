"""Runs scenarios and controls and writes the report: `make faults`, `make faults ONLY=broker`.

A control takes one mechanism out and has to turn the checks red: a suite that nothing can turn red shows nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.faults.client import Client
from tests.faults.controls import CONTROLS, Control
from tests.faults.invariants import Figures, check, wait_until_idle
from tests.faults.ledger import Ledger
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.stack import Stack

RSS_LIMIT_BYTES = 600 * 1024 * 1024
OPEN_FILES_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the report."""

    name: str
    repetitions: int
    figures: Figures | None
    recovery_seconds: float
    largest_process: str
    error: str = ""
    must_be_red: bool = False

    @property
    def is_red(self) -> bool:
        """Whether a check failed."""
        return bool(self.error) or self.figures is None or any(self.figures.faults.values())

    @property
    def passed(self) -> bool:
        """Whether it is as it has to be."""
        return self.is_red == self.must_be_red


def run_scenario(scenario: Scenario, directory: Path, *, must_be_red: bool = False) -> Result:
    """Run *scenario* on a stack of its own and return what was counted."""
    ledger = Ledger(seed=len(scenario.name) * 1000 + ord(scenario.name[0]))
    recovery, largest, error = 0.0, "", ""
    figures = None
    with Stack(directory, scenario.environ) as stack:
        client = Client(stack.gateways, stack.token, ledger)
        client.start(rate=scenario.rate, items=scenario.items)
        try:
            try:
                scenario.harm(stack, scenario)
            finally:
                client.wait() if scenario.items else client.stop()
            answered = time.monotonic()
            wait_until_idle(stack, within_seconds=scenario.idle_within_seconds)
            recovery = time.monotonic() - answered
            largest = _largest(stack)
            figures = check(stack, ledger)
        except AssertionError as failure:
            error = str(failure)[:500]
    return Result(scenario.name, scenario.repetitions, figures, recovery, largest, error, must_be_red)


def run_control(control: Control, directory: Path) -> Result:
    """Run *control*; it has to turn red."""
    return run_scenario(control.scenario, directory, must_be_red=True)


def report(results: list[Result]) -> str:
    """Return the table, newest figures of each scenario."""
    lines = [
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by `make faults`.",
        "",
        "| scenario | times | items | lost | doubled | wrong persons | other faults | idle after | largest process | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for result in results:
        f = result.figures
        counted = (
            f"{f.items} | {f.lost} | {f.doubled + f.doubled_origins} | {f.wrong_persons} | "
            f"{f.foreign + f.changed + f.refused_visible + f.unaccounted}"
            if f is not None
            else "- | - | - | - | -"
        )
        verdict = "red, as it must be" if result.must_be_red and result.is_red else "ok" if result.passed else "FAILED"
        lines.append(
            f"| {result.name} | {result.repetitions} | {counted} | {result.recovery_seconds:.0f} s | "
            f"{result.largest_process} | {verdict} {result.error.splitlines()[0] if result.error else ''} |"
        )
    return "\n".join(lines) + "\n"


def _largest(stack: Stack) -> str:
    """Return the largest Python process with its memory; fail where memory or open files are out of bounds."""
    largest = ("", 0)
    for file in (stack.state / "run").glob("*.pid"):
        try:
            process = psutil.Process(int(file.read_text()))
            memory, files = process.memory_info().rss, process.num_fds()
        except (psutil.NoSuchProcess, ValueError):
            continue
        name = file.stem
        if name not in {"kafka", "clickhouse"}:
            assert memory < RSS_LIMIT_BYTES, f"{name} uses {memory >> 20} MiB"
            assert files < OPEN_FILES_LIMIT, f"{name} has {files} files open"
            largest = max(largest, (name, memory), key=lambda pair: pair[1])
    return f"{largest[0]} {largest[1] >> 20} MiB"


def _wanted(only: str) -> Iterator[Scenario | Control]:
    works: list[Scenario | Control] = [*SCENARIOS, *CONTROLS]
    for work in works:
        if only in work.name:
            yield work


def main() -> int:
    """Run what is asked for and return the exit code."""
    parser = argparse.ArgumentParser(description="Run the fault suite")
    parser.add_argument("--only", default="", help="part of the names to run")
    parser.add_argument("--report", type=Path, default=Path(".sequence/faults.md"))
    arguments = parser.parse_args()
    results: list[Result] = []
    for work in _wanted(arguments.only):
        directory = Path(tempfile.mkdtemp(prefix="sequence-faults-"))
        started = time.monotonic()
        result = run_control(work, directory) if isinstance(work, Control) else run_scenario(work, directory)
        results.append(result)
        sys.stdout.write(f"{'ok' if result.passed else 'FAILED'} {work.name} in {time.monotonic() - started:.0f} s\n")
        sys.stdout.write(f"   {result.figures} {result.error}\n")
        sys.stdout.flush()
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(report(results))
        if result.passed:
            shutil.rmtree(directory)
        else:
            sys.stdout.write(f"   its state and logs stay in {directory}\n")
    passed = sum(result.passed for result in results)
    sys.stdout.write(f"{passed} passed, {len(results) - passed} failed\n")
    return 0 if results and passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
