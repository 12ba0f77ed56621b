"""Results: samples, medians, the Markdown table, the JSON file, and ratios to an older run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from tests.benchmarks.errors import BenchError


class Sample(msgspec.Struct, frozen=True):
    """One measurement of one candidate."""

    value: float
    cpu_seconds: Mapping[str, float] = {}
    """CPU seconds per million events, by process."""
    peak_mib: Mapping[str, float] = {}
    """Peak resident memory, by process."""
    more: Mapping[str, float] = {}
    """Additional figures, such as percentiles."""


class Row(msgspec.Struct, frozen=True):
    """All samples of one candidate in one comparison."""

    group: str
    name: str
    unit: str
    samples: Sequence[Sample]

    @property
    def value(self) -> float:
        """The median."""
        return median(sample.value for sample in self.samples)

    @property
    def span(self) -> tuple[float, float]:
        """Minimum and maximum."""
        values = [sample.value for sample in self.samples]
        return min(values), max(values)


class Run(msgspec.Struct, frozen=True):
    """A whole run with a description of its machine; the content of `bench.json`."""

    machine: Mapping[str, str]
    rows: Sequence[Row]


def table(run: Run) -> str:
    """Return *run* as Markdown: one table per comparison, each row with its ratio to the first row."""
    lines = [", ".join(f"{name}: {text}" for name, text in run.machine.items())]
    for group, rows in _groups(run.rows).items():
        lines += [
            "",
            f"### {group}",
            "",
            "| What | Median | Min … max | Ratio | CPU s per million | Peak MiB | More |",
        ]
        lines.append("| --- | ---: | ---: | ---: | --- | --- | --- |")
        lines += [_line(row, rows[0]) for row in rows]
    return "\n".join(lines) + "\n"


def comparison(run: Run, older: Run) -> str:
    """Return a table with the ratio of each row's median to its median in *older*."""
    before = {(row.group, row.name): row for row in older.rows}
    lines = ["| What | Before | Now | Ratio |", "| --- | ---: | ---: | ---: |"]
    for row in run.rows:
        if (known := before.get((row.group, row.name))) is not None and known.value:
            ratio = row.value / known.value
            lines.append(f"| {row.group}: {row.name} | {_number(known.value)} | {_number(row.value)} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def read(path: Path) -> Run:
    """Read a run from *path*; raise `BenchError` if the file is not a benchmark result."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(f"{path} is not a benchmark result (bench.json): {error}") from error


def write(run: Run, directory: Path) -> None:
    """Write `bench.json` and `bench.md`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bench.json").write_bytes(msgspec.json.format(msgspec.json.encode(run)))
    (directory / "bench.md").write_text(table(run), encoding="utf-8")


def _groups(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups


def _line(row: Row, first: Row) -> str:
    least, greatest = row.span
    ratio = f"{row.value / first.value:.2f}" if first.value and row.unit == first.unit else ""
    cells = (
        row.name,
        f"{_number(row.value)} {row.unit}",
        f"{_number(least)} … {_number(greatest)}",
        ratio,
        _named(_medians(sample.cpu_seconds for sample in row.samples)),
        _named(_greatest(sample.peak_mib for sample in row.samples)),
        _named(_medians(sample.more for sample in row.samples)),
    )
    return f"| {' | '.join(cells)} |"


def _medians(samples: Iterable[Mapping[str, float]]) -> dict[str, float]:
    return {name: median(values) for name, values in _by_name(samples).items()}


def _greatest(samples: Iterable[Mapping[str, float]]) -> dict[str, float]:
    return {name: max(values) for name, values in _by_name(samples).items()}


def _by_name(samples: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for sample in samples:
        for name, value in sample.items():
            values.setdefault(name, []).append(value)
    return values


def _named(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in figures.items())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
