"""What a step of the pipeline has to be, for the engine to run it: one method that makes a run of records durable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
class RecordBatch:
    """A run of consecutive records of one partition; never empty. Offsets may have holes where a topic is compacted."""

    topic: str
    partition: int
    records: Sequence[SourceRecord]
    start: int = -1
    """Where reading began: every offset from here to `first_offset` is known not to exist. -1: not known."""

    @property
    def begin(self) -> int:
        """The lowest offset from which on nothing is missing."""
        return self.first_offset if self.start < 0 else self.start

    @property
    def size_bytes(self) -> int:
        """Bytes of the records' values."""
        return sum([len(record.value) for record in self.records if record.value is not None])

    @property
    def first_offset(self) -> int:
        """Offset of the first record."""
        return self.records[0].offset

    @property
    def last_offset(self) -> int:
        """Offset of the last record."""
        return self.records[-1].offset


@dataclass(frozen=True, slots=True)
class Positions:
    """What a stage knows of its partitions when they are assigned to it."""

    processed_offsets: Mapping[int, int] = field(default_factory=dict)
    """By partition, the highest offset of the input whose outputs are durable; input up to there is skipped."""
    remembered_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """By topic and partition, the highest offset that is remembered anywhere. A log that ends below was made anew."""


class Stage(Protocol):
    """One step, reading one topic.

    The engine calls `process` slice by slice in offset order, one slice of a partition at a time and the partitions
    side by side. When it returns, every output of the slice is durable and the engine acknowledges the input. Whatever
    it raises ends the process: recovery and the supervisor do the rest.
    """

    @property
    def topic(self) -> str:
        """The topic that it reads."""

    @property
    def compacted(self) -> bool:
        """Whether that topic is compacted, so that holes between offsets are no loss."""

    @property
    def max_records(self) -> int:
        """How many records a slice may hold; pending runs are joined up to here."""

    @property
    def linger_seconds(self) -> float:
        """How long at least from slice to slice, unless one is full; all partitions together. 0 takes what is there."""

    @property
    def waiting(self) -> bool:
        """Whether it waits for a system that is down, so that standing still is no fault of this process."""

    async def start(self, lease: Lease) -> None:
        """Connect. Called once, before the first assignment."""

    async def assigned(self, partitions: frozenset[int]) -> Positions:
        """Return the positions of *partitions*, the whole new assignment, before the first of their slices comes."""

    async def process(self, batch: RecordBatch) -> None:
        """Decide, write, wait, apply: return when every output of the slice is durable."""

    async def stop(self) -> None:
        """Let go of what `start` took."""
