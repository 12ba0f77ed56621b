"""Measures what events cost, and fits the coefficients of `sequence capacity`: `python -m tests.benchmarks.capacity`.

    measure     offer the loads of the plan to whole local stacks, and write what they took to capacity_samples.json
    fit         write deploy/operate/capacity_coefficients.py from these measurements; asks no server
    --check     print the coefficients, and predictions beside measurements for the loads that the fit leaves out

Loads are paced, so that their rates are constant. CPU time is read from the processes, and memory every 0.1 s.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import click
from msgspec.structs import replace

from deploy.operate.capacity import Load
from deploy.operate.capacity_coefficients import __file__ as coefficients_file
from tests.benchmarks import capacity_report, capacity_rows, capacity_samples, capacity_stores, usage
from tests.benchmarks.capacity_plan import CHECK, FIT, IDLE_SECONDS, RUNS, Run
from tests.benchmarks.capacity_samples import Sample, Samples
from tests.benchmarks.capacity_stack import WARM_NAME, running
from tests.benchmarks.errors import BenchError

MACHINE = ("processor", "cores", "memory", "python", "kafka", "chdb")
"""What is noted of the machine."""
ROWS, STORES = "rows", "stores"
"""Names of the measurements of rows and of local stores, which need no stack."""


def main() -> None:
    """Run what the arguments choose."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", nargs="?", choices=("measure", "fit"))
    parser.add_argument("--check", action="store_true", help="print the prediction beside the measurement")
    parser.add_argument(
        "--run", action="append", choices=[*(run.name for run in RUNS), ROWS, STORES], help="measure only this run"
    )
    parser.add_argument("--seconds", type=float, help="duration of each window, to try the program")
    parser.add_argument("--file", type=Path, default=capacity_samples.SAMPLES)
    arguments = parser.parse_args()
    if arguments.action is None and not arguments.check:
        parser.error("Choose measure, fit or --check.")
    if arguments.action == "fit" and arguments.check:
        parser.error("Run --check after the fit: this process has the coefficients of before.")
    if arguments.action == "measure":
        _measure(arguments.file, arguments.run, arguments.seconds)
    if arguments.action == "fit":
        text = capacity_report.module(capacity_samples.read(arguments.file))
        Path(coefficients_file).write_text(text, encoding="utf-8")
    if arguments.check:
        _print(capacity_samples.read(arguments.file))


def _print(samples: Samples) -> None:
    """Print the tables of docs/capacity.md."""
    click.echo(f"{capacity_report.coefficients()}\n\n{capacity_report.sizes()}\n")
    click.echo(capacity_report.comparison(capacity_report.checks(samples, beyond=False)))
    click.echo(f"\n{capacity_report.checked_rows(samples)}\n\nBeyond what the model is for:\n")
    click.echo(capacity_report.comparison(capacity_report.checks(samples, beyond=True)))


def _measure(file: Path, names: Sequence[str] | None, seconds: float | None) -> None:
    """Measure the runs with *names*, by default all, and replace them in *file*."""
    for run in RUNS:
        if names is None or run.name in names:
            began = monotonic()
            asyncio.run(_run(run, file, seconds))
            click.echo(f"{run.name}: {monotonic() - began:.0f} s")
    if names is None or ROWS in names:
        began = monotonic()
        loads, checked = _shapes(FIT), _shapes(CHECK)
        sizes = capacity_rows.row_sizes([*loads, *checked])
        fitted = len(sizes) * len(loads) // len(loads + checked)
        _update(
            file,
            rows=sizes[:fitted],
            checked_rows=sizes[fitted:],
        )
        click.echo(f"{ROWS}: {monotonic() - began:.0f} s")
    if names is None or STORES in names:
        began = monotonic()
        _update(
            file,
            dedupe_entry_bytes=capacity_stores.dedupe_entry_bytes(),
            person_bytes=[capacity_stores.person_bytes(load) for load in _shapes(FIT)],
        )
        click.echo(f"{STORES}: {monotonic() - began:.0f} s")


def _shapes(run: Run) -> list[Load]:
    """Return the loads of *run* whose events differ."""
    return list({(each.load.event_bytes, each.load.names): each.load for each in run.offered}.values())


async def _run(run: Run, file: Path, seconds: float | None) -> None:
    """Measure *run*, and replace it in *file*."""
    async with running(run.topology) as stack:
        await stack.measure(WARM_NAME, run.warm, seconds or run.warm_seconds)
        found = []
        if run.has_idle:
            found.append(await stack.idle(f"{run.name}, idle", seconds or IDLE_SECONDS))
            click.echo(_line(found[-1]))
        for offered in run.offered:
            window = seconds or offered.seconds
            found.append(await stack.measure(offered.name, offered.load, window, is_check=offered.is_check))
            click.echo(_line(found[-1]))
        known = _known(file)
        changes = {"counted_per_row": await asyncio.to_thread(stack.counted_per_row)} if run is FIT else {}
        _update(file, samples={**known.samples, run.name: found}, **changes)


def _known(file: Path) -> Samples:
    return capacity_samples.read(file) if file.exists() else Samples({}, "", {}, [], [], 0.0, 0.0, [])


def _update(file: Path, **changes: object) -> None:
    """Replace what *file* has, as soon as it is measured."""
    machine = {name: text for name, text in usage.machine().items() if name in MACHINE}
    now = {"machine": machine, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    capacity_samples.write(replace(_known(file), **changes, **now), file)


def _line(sample: Sample) -> str:
    cores = ", ".join(f"{part} {cores:.3f}" for part, cores in sample.cores.items())
    return f"{sample.name}: {sample.load.events_per_second:,.0f} events/s: {cores}; load {sample.generator_cores:.2f}"


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(str(error))
