"""What a step of the pipeline has to be, for the engine to run it: one method that makes a run of records durable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class SourceRecord(Protocol):
    """A record as it was read; aiokafka's `ConsumerRecord` has this shape."""

    @property
    def offset(self) -> int:
        """Position in its partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970: the broker's clock on `items.v1`, the item's `items.v1` time on `events.v1`."""

    @property
    def key(self) -> bytes | None:
        """The record's key."""

    @property
    def value(self) -> bytes | None:
        """The record's value; None is a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """The record's headers in the order they were written."""


Lease = Callable[[], float]
"""Until when the partitions are surely ours, in seconds of `time.monotonic`: last good heartbeat + session timeout."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of consecutive records of one partition; never empty. Offsets may have holes where a topic is compacted."""

    topic: str
    partition: int
    records: Sequence[SourceRecord]

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return self.records[0].offset

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return self.records[-1].offset


class Stage(Protocol):
    """One step, reading one topic.

    The engine calls `process` slice by slice in offset order, one slice of a partition at a time and the partitions
    side by side. When it returns, every output of the slice is durable and the engine acknowledges the input. Whatever
    it raises ends the process: recovery and the supervisor do the rest.
    """

    async def start(self, lease: Lease) -> None:
        """Connect. Called once, before the first assignment."""

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Learn the positions of *partitions*, the whole new assignment, before the first of their slices comes."""

    async def process(self, records: Slice) -> None:
        """Decide, write, wait, apply: return when every output of the slice is durable."""

    async def stop(self) -> None:
        """Let go of what `start` took."""
