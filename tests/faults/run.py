"""Runs scenarios and controls and writes the report: `make faults`, `make faults ONLY=broker`.

Each scenario runs in its own process on its own stack, a few concurrently. Those that measure time run alone at the
end. Results are kept, so that the report always has the newest result of each scenario.

A control disables one mechanism of the guarantee and must turn the checks red. It proves that the checks can fail.
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

from tests.faults import recovery_time
from tests.faults.controls import CONTROLS
from tests.faults.execution import run_scenario
from tests.faults.result import Result, report
from tests.faults.scenarios import SCENARIOS
from tests.faults.trial import Scenario

ENTRIES = "entries-rebuilt"
NAMES = [*(work.name for work in (*SCENARIOS, *CONTROLS)), ENTRIES]
ALONE = [*(work.name for work in SCENARIOS if work.alone), ENTRIES]
LIMIT_SECONDS = 1800.0
"""A scenario that takes longer is considered hung."""
SUITE_LIMIT_SECONDS = 90 * 60.0
"""Time that all scenarios and controls may take together; scenarios share stacks to stay below."""


def run_one(name: str, directory: Path) -> Result:
    """Run scenario or control *name*."""
    if name == ENTRIES:
        return _run_rebuild()
    works: list[Scenario] = [*SCENARIOS, *CONTROLS]
    return run_scenario(next(work for work in works if work.name == name), directory)


def _run_rebuild() -> Result:
    began = time.monotonic()
    seconds = recovery_time.rebuilding_entries()
    return Result(
        ENTRIES,
        seconds=time.monotonic() - began,
        at=datetime.now(UTC),
        repetitions=1,
        counts={"items": recovery_time.ENTRIES},
        violations={"slower than allowed": int(seconds > recovery_time.REBUILD_LIMIT_SECONDS)},
        recovery_seconds=seconds,
        notes=[f"{recovery_time.ENTRIES} entries restored in {seconds:.1f} s, from the start of the worker"],
    )


def _run_in_process(name: str, results: Path) -> Result:
    """Run *name* in its own process, so that scenarios do not share a GIL."""
    directory = Path(tempfile.mkdtemp(prefix=f"sequence-{name}-"))
    file = results / f"{name}.json"
    file.unlink(missing_ok=True)
    with (directory / "log").open("wb") as log:
        command = [sys.executable, "-m", "tests.faults.run", "--one", name, str(directory), str(file)]
        began = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, check=False, stdout=log, stderr=log, timeout=LIMIT_SECONDS)
    if not file.exists():
        printed = (directory / "log").read_text(errors="replace").strip()
        broken = Result(name, error=printed[-2000:] or "hung", seconds=time.monotonic() - began, at=datetime.now(UTC))
        file.write_bytes(msgspec.json.encode(broken))
    result = _read(file)
    sys.stdout.write(f"{'ok' if result.passed else 'FAILED'} {name} in {result.seconds:.0f} s: {_summary(result)}\n")
    if result.passed:
        shutil.rmtree(directory)
    else:
        sys.stdout.write(f"   state and logs are kept in {directory}\n   {result.error}\n")
    sys.stdout.flush()
    return result


def _summary(result: Result) -> str:
    violations = {name: count for name, count in result.violations.items() if count}
    return f"{result.counts} {violations or 'no violations'} {'; '.join(result.notes)}"


def _read(file: Path) -> Result:
    return msgspec.json.decode(file.read_bytes(), type=Result)


def _run_all(names: Iterable[str], workers: int, results: Path) -> list[Result]:
    wanted = list(names)
    beside = [name for name in wanted if name not in ALONE]
    # Longest first, as far as durations are known, so that no long scenario starts last.
    lasted = {name: _read(file).seconds for name in beside if (file := results / f"{name}.json").exists()}
    beside.sort(key=lambda name: -lasted.get(name, 1e9))
    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(lambda name: _run_in_process(name, results), beside))
    return done + [_run_in_process(name, results) for name in wanted if name in ALONE]


def main() -> int:
    """Run the selected scenarios and return the exit code."""
    parser = argparse.ArgumentParser(description="Run the fault suite")
    parser.add_argument("--only", default="", help="run only scenarios whose names contain this")
    parser.add_argument("--workers", type=int, default=4, help="number of concurrent scenarios")
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
    done = _run_all([name for name in NAMES if arguments.only in name], arguments.workers, results)
    newest = [_read(file) for name in NAMES if (file := results / f"{name}.json").exists()]
    arguments.report.write_text(report(newest))
    passed = sum(result.passed for result in done)
    seconds = time.monotonic() - began
    sys.stdout.write(f"{passed} passed, {len(done) - passed} failed in {seconds:.0f} s ({seconds / 60:.0f} minutes)\n")
    if seconds > SUITE_LIMIT_SECONDS:
        sys.stdout.write(f"The suite may take {SUITE_LIMIT_SECONDS / 60:.0f} minutes: let scenarios share a stack.\n")
        return 1
    return 0 if done and passed == len(done) else 1


if __name__ == "__main__":
    sys.exit(main())
