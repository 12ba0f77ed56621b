"""Runs scenarios and controls and writes the report: `make faults`, `make faults ONLY=broker`.

Each runs in a process of its own on a stack of its own, a few side by side; those that measure time run alone at the
end. Results are kept, so that the report has the newest of each, however they were run.

A control takes one mechanism out and has to turn the checks red: a suite that nothing can turn red shows nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tests.faults import speed
from tests.faults.controls import CONTROLS
from tests.faults.result import Result, report
from tests.faults.scenarios import SCENARIOS
from tests.faults.trial import Scenario
from tests.faults.trying import try_scenario

MARKS = "marks-rebuilt"
NAMES = [*(work.name for work in (*SCENARIOS, *CONTROLS)), MARKS]
ALONE = [*(work.name for work in SCENARIOS if work.alone), MARKS]
LIMIT_SECONDS = 1800.0
"""What takes longer hangs."""


def run_one(name: str, directory: Path) -> Result:
    """Run scenario or control *name*."""
    if name == MARKS:
        return _run_marks()
    works: list[Scenario] = [*SCENARIOS, *CONTROLS]
    return try_scenario(next(work for work in works if work.name == name), directory)


def _run_marks() -> Result:
    began = time.monotonic()
    seconds = speed.rebuilding_marks()
    return Result(
        MARKS,
        seconds=time.monotonic() - began,
        at=datetime.now(UTC),
        repetitions=1,
        counts={"items": speed.MARKS},
        faults={"slower than allowed": int(seconds > speed.MARKS_LIMIT_SECONDS)},
        recovery_seconds=seconds,
        notes=[f"{speed.MARKS} marks from nothing in {seconds:.1f} s, from the worker's start"],
    )


def _run_in_process(name: str, results: Path) -> Result:
    """Run *name* in a process of its own, so that its threads take nothing from those beside it."""
    directory = Path(tempfile.mkdtemp(prefix=f"sequence-{name}-"))
    file = results / f"{name}.json"
    file.unlink(missing_ok=True)
    with (directory / "log").open("wb") as log:
        command = [sys.executable, "-m", "tests.faults.run", "--one", name, str(directory), str(file)]
        began = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, stdout=log, stderr=log, timeout=LIMIT_SECONDS)
    if not file.exists():
        told = (directory / "log").read_text(errors="replace").strip()
        broken = Result(name, error=told[-2000:] or "hung", seconds=time.monotonic() - began, at=datetime.now(UTC))
        file.write_bytes(msgspec.json.encode(broken))
    result = _read(file)
    sys.stdout.write(f"{'ok' if result.passed else 'FAILED'} {name} in {result.seconds:.0f} s: {_told(result)}\n")
    if result.passed:
        shutil.rmtree(directory)
    else:
        sys.stdout.write(f"   its state and logs stay in {directory}\n   {result.error}\n")
    sys.stdout.flush()
    return result


def _told(result: Result) -> str:
    faults = {name: count for name, count in result.faults.items() if count}
    return f"{result.counts} {faults or 'no faults'} {'; '.join(result.notes)}"


def _read(file: Path) -> Result:
    return msgspec.json.decode(file.read_bytes(), type=Result)


def _run_all(names: Iterable[str], lanes: int, results: Path) -> list[Result]:
    wanted = list(names)
    beside = [name for name in wanted if name not in ALONE]
    # The longest first, as far as is known: no lane is left with one of them at the end.
    lasted = {name: _read(file).seconds for name in beside if (file := results / f"{name}.json").exists()}
    beside.sort(key=lambda name: -lasted.get(name, 1e9))
    with ThreadPoolExecutor(lanes) as pool:
        done = list(pool.map(lambda name: _run_in_process(name, results), beside))
    return done + [_run_in_process(name, results) for name in wanted if name in ALONE]


def main() -> int:
    """Run what is asked for and return the exit code."""
    parser = argparse.ArgumentParser(description="Run the fault suite")
    parser.add_argument("--only", default="", help="part of the names to run")
    parser.add_argument("--lanes", type=int, default=4, help="how many run side by side")
    parser.add_argument("--report", type=Path, default=Path(".sequence/faults.md"))
    parser.add_argument("--one", nargs=3, metavar=("NAME", "DIRECTORY", "RESULT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, directory, file = arguments.one
        Path(file).write_bytes(msgspec.json.encode(run_one(name, Path(directory))))
        return 0
    results = arguments.report.with_suffix("")
    results.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    done = _run_all([name for name in NAMES if arguments.only in name], arguments.lanes, results)
    newest = [_read(file) for name in NAMES if (file := results / f"{name}.json").exists()]
    arguments.report.write_text(report(newest))
    passed = sum(result.passed for result in done)
    sys.stdout.write(f"{passed} passed, {len(done) - passed} failed in {time.monotonic() - began:.0f} s\n")
    return 0 if done and passed == len(done) else 1


if __name__ == "__main__":
    sys.exit(main())
