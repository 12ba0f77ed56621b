"""Which source offsets the next pass counts, and how many after a pass that failed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from processors.sink.catalog_statement import Range

Partition = tuple[int, int]


def pending(positions: Mapping[Partition, int], ends: Mapping[Partition, int]) -> list[Range]:
    """Return what is not counted: by partition, from its position to the end of its rows.

    A table that ends before its position was restored or emptied. Its rows below the position are counted already.
    """
    return [
        Range(log, partition, positions.get((log, partition), 0), end)
        for (log, partition), end in sorted(ends.items())
        if end > positions.get((log, partition), 0)
    ]


def offsets(ranges: Sequence[Range]) -> int:
    """Return how many source offsets are in *ranges*."""
    return sum(each.end - each.first for each in ranges)


def first_of(ranges: Sequence[Range], count: int) -> Iterator[Range]:
    """Yield the first *count* source offsets of *ranges*."""
    for each in ranges:
        if count <= 0:
            return
        yield Range(each.log, each.partition, each.first, min(each.end, each.first + count))
        count -= each.end - each.first


@dataclass(slots=True)
class Budget:
    """How many source offsets a pass may count: all of them, until a pass fails for its size."""

    limit: int | None = None

    def halve(self, failed: int) -> bool:
        """Allow half of what *failed*; return False if that was a single source offset."""
        self.limit = max(1, failed // 2)
        return failed > 1

    def double(self, counted: int, pending: int) -> None:
        """Allow twice what was *counted*, or all once that is as much as was *pending*."""
        if self.limit is not None:
            self.limit = None if counted >= pending else counted * 2

    def choose(self, ranges: Sequence[Range]) -> list[Range]:
        """Return what the next pass counts of *ranges*."""
        return list(ranges) if self.limit is None else list(first_of(ranges, self.limit))
