"""What migrations will do: which of them run, and how long those that copy rows take. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ROW_SECONDS = 4e-6
BYTE_SECONDS = 1e-8
"""Time to copy a row and a byte of its columns before compression; see docs/operations.md for the measurement."""
FIRST_SECONDS = 1.0
"""Time after which the rate of a copy says something about its end."""


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """A table whose rows are copied."""

    name: str
    rows: int
    size_bytes: int
    """On the disk."""
    raw_bytes: int
    """Before compression."""

    @property
    def seconds(self) -> float:
        """How long the copy takes, as measured on two cores that did nothing else."""
        return self.rows * ROW_SECONDS + self.raw_bytes * BYTE_SECONDS


@dataclass(frozen=True, slots=True)
class Plan:
    """Migrations that are to be applied, in order."""

    names: Sequence[str]
    copied: Sequence[CopiedTable] = ()
    free_bytes: int = 0
    """What ClickHouse has left on its disks."""

    @property
    def needed_bytes(self) -> int:
        """Space that the copies take. ClickHouse keeps the files of a replaced table for eight minutes."""
        return sum(table.size_bytes for table in self.copied)

    def lines(self) -> Iterator[str]:
        """Yield the plan for a person."""
        if not self.names:
            return
        yield f"To apply: {', '.join(self.names)}."
        if not self.copied:
            return
        for table in self.copied:
            size, time = _size(table.size_bytes), _time(table.seconds)
            yield f"{table.name}: {table.rows:,} rows are copied, {size}, about {time}."
        time, size = _time(sum(table.seconds for table in self.copied)), _size(self.needed_bytes)
        yield (
            f"In all about {time} on an idle server, and {size} of disk space; ClickHouse has {_size(self.free_bytes)} "
            "left. A table takes no rows while it is copied: sinks wait, Kafka keeps the events, and queries read the "
            "old table."
        )


def progress(table: CopiedTable, rows: int, seconds: float) -> str:
    """Return how far the copy of *table* is: *rows* in *seconds*."""
    line = f"{table.name}: {rows:,} of {table.rows:,} rows are copied"
    if not rows or seconds < FIRST_SECONDS:
        return f"{line}."
    return f"{line}, {_time(max(0, table.rows - rows) * seconds / rows)} left."


def _time(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(size_bytes: int) -> str:
    unit, name = (10**9, "GB") if size_bytes >= 10**9 else (10**6, "MB") if size_bytes >= 10**6 else (1000, "kB")
    return f"{size_bytes / unit:.1f} {name}"
