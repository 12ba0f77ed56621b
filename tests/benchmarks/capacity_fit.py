"""Fits the coefficients of `sequence capacity` to measured loads, and predicts those that were left out. Pure.

Each part is a sum of what the model counts, with coefficients that are not negative. Errors are relative: a load that
takes little counts as much as one that takes much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from deploy.operate.capacity import PARTS, Load, memory_units, units
from deploy.operate.capacity_size import Size, text_bytes
from tests.benchmarks.capacity_plan import WARM
from tests.benchmarks.capacity_samples import RowSize, Sample, Samples

LEAST_CORES = 0.01
"""CPU time per second below which a relative error says nothing."""
_DIGITS = 3
_GAIN = 0.02
"""Share of the squared error that a solution with more columns has to save."""
_SINGULAR = 1e-9

Row = Mapping[str, float]


class Fitted:
    """The coefficients of *samples*."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        known = [sample for run in samples.samples.values() for sample in run if not sample.is_check]
        self.cpu = {part: _fit_cpu(part, known) for part in PARTS}
        self.memory = {part: _fit_memory(part, known) for part in PARTS}
        sized = [(sample.load, sample.record_bytes) for sample in known if sample.record_bytes]
        topics = sorted({topic for _, sizes in sized for topic in sizes})
        self.records = {
            topic: _fit_records((load, size[topic]) for load, size in sized if topic in size) for topic in topics
        }
        tables = sorted({row.table for row in samples.rows})
        self.rows = {table: _fit_rows(row for row in samples.rows if row.table == table) for table in tables}
        self.person = _fit_rows(samples.person_bytes)


def counted_units(part: str, sample: Sample) -> Row:
    """Return the units of CPU time of *part* in *sample*: those of the model, but for what was counted itself.

    INSERTs are fewer if they are slow, and a pass of the catalogue is rare: a window has one, two or none.
    """
    counted = units(sample.load, sample.topology)[part]
    measured = {"insert": sample.batches["inserts"], "counted": sample.batches["counted"]}
    return {unit: measured.get(unit, number) for unit, number in counted.items()}


def _fit_cpu(part: str, samples: Sequence[Sample]) -> dict[str, float]:
    rows = [counted_units(part, sample) for sample in samples]
    values = [sample.cores[part] * 1e6 for sample in samples]
    return least_squares(rows, values, [max(value, LEAST_CORES * 1e6) for value in values])


def _fit_memory(part: str, samples: Sequence[Sample]) -> dict[str, float]:
    """Fit to loads of at least that which warms a stack: memory is not given back."""
    least = WARM.events_per_second * WARM.event_bytes
    heavy = [each for each in samples if each.load.events_per_second * each.load.event_bytes >= 0.9 * least]
    values = [sample.peak_mib[part] for sample in heavy]
    return least_squares([memory_units(each.load, each.topology)[part] for each in heavy], values, values)


def _fit_rows(rows: Iterable[RowSize]) -> Size:
    """Fit what is compressed: text takes more than names and short values, which repeat."""
    found = list(rows)
    values = [row.bytes_per_row for row in found]
    counted = [{"fixed": 1.0, "name": row.names, "text": text_bytes(row.event_bytes, row.names)} for row in found]
    fitted = least_squares(counted, values, values)
    return Size(fitted["fixed"], per_name=fitted["name"], per_text_byte=fitted["text"])


def _fit_records(records: Iterable[tuple[Load, float]]) -> Size:
    """Fit what is not compressed to the load and the bytes of a record."""
    found = list(records)
    values = [size for _, size in found]
    counted = [{"fixed": 1.0, "byte": load.event_bytes, "name": load.names} for load, _ in found]
    fitted = least_squares(counted, values, values)
    return Size(fitted["fixed"], fitted["byte"], fitted["name"])


def least_squares(rows: Sequence[Row], values: Sequence[float], scales: Sequence[float]) -> dict[str, float]:
    """Return coefficients, none negative, for which the sum of each of *rows* is closest to its value.

    Errors are divided by *scales*. Of every set of columns that has a solution without negative coefficients, the
    closest one is the solution.
    """
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    norms = {
        name: sum((row[name] / scale) ** 2 for row, scale in zip(rows, scales, strict=True)) ** 0.5 for name in names
    }
    wanted = [value / scale for value, scale in zip(values, scales, strict=True)]
    scaled = {
        name: [row[name] / scale / norms[name] for row, scale in zip(rows, scales, strict=True)] for name in names
    }
    best: dict[str, float] = {}
    least = math.inf
    for size in range(1, len(names) + 1):
        for chosen in combinations(names, size):
            solved = _solved([scaled[name] for name in chosen], wanted)
            if solved is None or min(solved) < 0:
                continue
            error = _error([scaled[name] for name in chosen], solved, wanted)
            # More columns have to be worth it.
            if error < least * (1 - _GAIN):
                least, best = error, dict(zip(chosen, solved, strict=True))
    return {name: _rounded(best.get(name, 0.0) / norms.get(name, 1.0)) for name in rows[0]}


def _solved(columns: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float] | None:
    """Return the solution of the normal equations by elimination, None if *columns* depend on each other."""
    size = len(columns)
    lines = [[_product(column, other) for other in columns] + [_product(column, wanted)] for column in columns]
    for at in range(size):
        pivot = max(range(at, size), key=lambda line: abs(lines[line][at]))
        if abs(lines[pivot][at]) < _SINGULAR:
            return None
        lines[at], lines[pivot] = lines[pivot], lines[at]
        for line in range(size):
            if line != at:
                factor = lines[line][at] / lines[at][at]
                lines[line] = [value - factor * other for value, other in zip(lines[line], lines[at], strict=True)]
    return [lines[at][size] / lines[at][at] for at in range(size)]


def _error(columns: Sequence[Sequence[float]], solved: Sequence[float], wanted: Sequence[float]) -> float:
    sums = [_product(line, solved) for line in zip(*columns, strict=True)]
    return sum((value - found) ** 2 for value, found in zip(wanted, sums, strict=True))


def _product(first: Sequence[float], second: Sequence[float]) -> float:
    return sum(one * other for one, other in zip(first, second, strict=True))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
