"""What a run of the benchmark comes to: samples, their medians, the table, the file, ratios against an older run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from deploy.errors import BenchError


class Sample(msgspec.Struct, frozen=True):
    """One measurement of one contender."""

    value: float
    cpu_seconds: Mapping[str, float] = {}
    """By process, for a million events."""
    peak_mib: Mapping[str, float] = {}
    """By process, resident memory."""
    more: Mapping[str, float] = {}
    """Further figures, such as percentiles."""


class Row(msgspec.Struct, frozen=True):
    """What one contender came to in one comparison."""

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
        """Least and greatest."""
        values = [sample.value for sample in self.samples]
        return min(values), max(values)


class Run(msgspec.Struct, frozen=True):
    """All of it, with the machine that it ran on: the content of the file."""

    machine: Mapping[str, str]
    rows: Sequence[Row]


def table(run: Run) -> str:
    """Return *run* as Markdown: a table for each comparison, each row with its ratio to the first of them."""
    lines = [", ".join(f"{name}: {text}" for name, text in run.machine.items())]
    for group, rows in _groups(run.rows).items():
        lines += [
            "",
            f"### {group}",
            "",
            "| What | Median | Least … greatest | Ratio | CPU s per million | Peak MiB | More |",
        ]
        lines.append("| --- | ---: | ---: | ---: | --- | --- | --- |")
        lines += [_line(row, rows[0]) for row in rows]
    return "\n".join(lines) + "\n"


def comparison(run: Run, older: Run) -> str:
    """Return the ratio of each row's median to the one it had in *older*."""
    before = {(row.group, row.name): row for row in older.rows}
    lines = ["| What | Before | Now | Ratio |", "| --- | ---: | ---: | ---: |"]
    for row in run.rows:
        if (known := before.get((row.group, row.name))) is not None and known.value:
            ratio = row.value / known.value
            lines.append(f"| {row.group}: {row.name} | {_number(known.value)} | {_number(row.value)} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def read(path: Path) -> Run:
    """Return the run that *path* holds; raise `BenchError` where it holds none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except (OSError, msgspec.DecodeError) as error:
        raise BenchError(f"{path} is not what `sequence bench` writes: {error}") from error


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
