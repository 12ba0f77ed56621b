"""What a fit gives: the module of coefficients, and predictions beside measurements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from deploy.operate import capacity, capacity_disk
from deploy.operate.capacity_coefficients import (
    CPU_MICROSECONDS,
    DEDUPE_ENTRY_BYTES,
    MEMORY_MIB,
    PERSON_BYTES,
    RECORD_BYTES,
    ROW_BYTES,
)
from deploy.operate.capacity_size import Size
from tests.benchmarks.capacity_fit import Fitted
from tests.benchmarks.capacity_plan import BEYOND
from tests.benchmarks.capacity_samples import Sample, Samples

WITHIN = 0.25
"""Largest deviation of a prediction from its measurement."""

_MODULE = '''"""What events cost, for `sequence capacity`. Written by `python -m tests.benchmarks.capacity fit`.

Measured on {date} with `python -m tests.benchmarks.capacity measure` on {machine}.
`tests/benchmarks/capacity_samples.json` has the measurements, and docs/capacity.md explains them.
"""

from __future__ import annotations

from collections.abc import Mapping

from deploy.operate.capacity_size import Size

CPU_MICROSECONDS: Mapping[str, Mapping[str, float]] = {cpu}
"""By part and unit, microseconds of CPU time. A kilobyte is 1,000 bytes of events, and a process costs per second."""

MEMORY_MIB: Mapping[str, Mapping[str, float]] = {memory}
"""By part and unit, MiB of resident memory at its peak. A megabyte is one of events per second."""

COUNTED_PER_ROW = {counted_per_row}
"""Rows that the catalogue reads for each new row."""

RECORD_BYTES: Mapping[str, Size] = {records}
"""Bytes of a record on the disk of one broker, by topic."""

ROW_BYTES: Mapping[str, Size] = {rows}
"""Bytes of a row in a part that is merged, by table."""

PERSON_BYTES = {person}
"""Bytes of a person in a local store."""

DEDUPE_ENTRY_BYTES = {entry}
"""Bytes of an entry in a local store."""
'''


def module(samples: Samples) -> str:
    """Return the source of `deploy.operate.capacity_coefficients`."""
    fitted = Fitted(samples)
    machine = samples.machine
    return _MODULE.format(
        date=samples.date,
        machine=f"{machine['cores']} cores of {machine['processor']}",
        cpu=_nested(fitted.cpu),
        memory=_nested(fitted.memory),
        counted_per_row=f"{samples.counted_per_row:.2f}",
        records=_sizes(fitted.records),
        rows=_sizes(fitted.rows),
        person=fitted.person,
        entry=f"{samples.dedupe_entry_bytes:.1f}",
    )


def _nested(costs: Mapping[str, Mapping[str, float]]) -> str:
    lines = [f'    "{part}": {{{_pairs(units)}}},' for part, units in costs.items()]
    return "\n".join(("{", *lines, "}"))


def _pairs(units: Mapping[str, float]) -> str:
    return ", ".join(f'"{unit}": {value:g}' for unit, value in units.items() if value)


def _sizes(sizes: Mapping[str, Size]) -> str:
    return "\n".join(("{", *(f'    "{name}": {size},' for name, size in sizes.items()), "}"))


def checks(samples: Samples, *, beyond: bool) -> list[Sample]:
    """Return the loads that were left out of the fit: those that the model is for, or those *beyond*."""
    found = [sample for run in samples.samples.values() for sample in run if sample.is_check]
    return sorted((each for each in found if (each.name in BEYOND) is beyond), key=lambda sample: sample.name)


def comparison(checks: Iterable[Sample]) -> str:
    """Return, for each of *checks*, predictions beside measurements as two tables."""
    checks = list(checks)
    lines = ["| Load | | Predicted | Measured | Ratio |", "| --- | --- | ---: | ---: | ---: |"]
    for sample in checks:
        lines += [_line(sample.name, *found) for found in totals(sample)]
    lines += ["", f"| Load | {' | '.join(capacity.PARTS)} |", f"| --- |{' ---: |' * len(capacity.PARTS)}"]
    for sample in checks:
        used = capacity.cores(sample.load, sample.topology)
        cells = (f"{used[part]:.2f} / {sample.cores[part]:.2f}" for part in capacity.PARTS)
        lines.append(f"| {sample.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def checked_rows(samples: Samples) -> str:
    """Return the same of the rows of events that were left out of the fit."""
    lines = ["| Bytes, names | Table | Predicted | Measured | Ratio |", "| --- | --- | ---: | ---: | ---: |"]
    for row in samples.checked_rows:
        predicted = ROW_BYTES[row.table].of(row.event_bytes, row.names)
        lines.append(_line(f"{row.event_bytes:g}, {row.names:g}", f"`{row.table}`", predicted, row.bytes_per_row))
    return "\n".join(lines)


def _line(name: str, what: str, predicted: float, measured: float) -> str:
    return f"| {name} | {what} | {_figure(predicted)} | {_figure(measured)} | {predicted / measured:.2f} |"


def totals(sample: Sample) -> Iterator[tuple[str, float, float]]:
    """Yield what is predicted of *sample*, the prediction, and the measurement."""
    yield "cores", sum(capacity.cores(sample.load, sample.topology).values()), sum(sample.cores.values())
    yield "memory, MiB", sum(capacity.memory(sample.load, sample.topology).values()), sum(sample.peak_mib.values())
    written, each = capacity_disk.written_per_second(sample.load), capacity_disk.record_bytes(sample.load)
    records = {topic: written[topic] / each[topic] / sample.load.events_per_second for topic in sample.record_bytes}
    yield (
        "Kafka, bytes an event",
        sum(number * each[topic] for topic, number in records.items()),
        sum(number * sample.record_bytes[topic] for topic, number in records.items()),
    )


def coefficients() -> str:
    """Return the coefficients of the product as a table."""
    lines = ["| Part | Unit | CPU time | Memory |", "| --- | --- | ---: | ---: |"]
    for part in capacity.PARTS:
        units = dict.fromkeys((*CPU_MICROSECONDS[part], *MEMORY_MIB[part]))
        for unit in units:
            cpu, memory = CPU_MICROSECONDS[part].get(unit), MEMORY_MIB[part].get(unit)
            cells = ("" if cpu is None else f"{cpu:g} µs", "" if memory is None else f"{memory:g} MiB")
            lines.append(f"| {part} | {unit} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def sizes() -> str:
    """Return the sizes of the product as a table."""
    named = {
        **{f"A record of `{name}`": size for name, size in RECORD_BYTES.items()},
        **{f"A row of `{name}`": size for name, size in ROW_BYTES.items()},
        "A person in a local store": PERSON_BYTES,
        "A dedupe entry in a local store": Size(DEDUPE_ENTRY_BYTES),
    }
    lines = ["| Bytes of | Fixed | A byte | A property | A byte of text |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, size in named.items():
        parts = (size.fixed, size.per_byte, size.per_name, size.per_text_byte)
        lines.append(f"| {name} | {' | '.join(f'{part:g}' if part else '' for part in parts)} |")
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"
