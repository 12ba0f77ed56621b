"""What a pipeline step must be for the engine to run it: one method that makes a batch durable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar


class SourceRecord(Protocol):
    """A record as it was read; aiokafka's `ConsumerRecord` has this shape."""

    @property
    def offset(self) -> int:
        """Offset in its partition."""

    @property
    def timestamp(self) -> int:
        """When the broker appended the record, in milliseconds since 1970 on its clock."""

    @property
    def key(self) -> bytes | None:
        """The record's key."""

    @property
    def value(self) -> bytes | None:
        """The record's value; None is a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """The record's headers in the order they were written."""


Put = tuple[bytes, bytes | None, int]
"""A change of a table: key, value (None deletes) and time in milliseconds, which chooses the bucket."""
Known = Callable[[Sequence[bytes]], list[bytes | None]]
"""Returns the current entry of each key, None for a missing key."""
S = TypeVar("S")


class Membership(Protocol):
    """The worker's membership in its consumer group; no other worker can own the partitions of a member."""

    @property
    def seconds(self) -> float:
        """How long the group keeps a member after a heartbeat, at least."""

    def observe(self, sample: Callable[[], S], acknowledged: Callable[[S], None]) -> None:
        """Call *sample* before each heartbeat is sent, and *acknowledged* with its result once it is acknowledged.

        Both are called in the thread of the consumer and must not block.
        """

    def request_heartbeat(self) -> None:
        """Send a heartbeat at once, if the worker is a member; for any thread."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition; never empty. Offsets may have holes where a topic is compacted."""

    topic: str
    partition: int
    records: Sequence[SourceRecord]
    fetch_offset: int = -1
    """Where the fetch began: no record exists from here to `first_offset`. -1 if unknown."""

    @property
    def complete_from(self) -> int:
        """The lowest offset from which the batch holds every record."""
        return self.first_offset if self.fetch_offset < 0 else self.fetch_offset

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


class InputOffsets(NamedTuple):
    """What Kafka knows of an input partition when it is assigned."""

    log_start: int
    """First offset that retention has left."""
    log_end: int
    """Offset of the next record."""
    committed: int | None = None
    """Offset that the consumer group has committed, None if it has none or Kafka has forgotten it."""
    metadata: str = ""
    """What the stage's `commit_metadata` was at that commit; empty if the commit has none."""

    @property
    def start(self) -> int:
        """Where a consumer starts by itself."""
        return self.log_start if self.committed is None else self.committed


@dataclass(frozen=True, slots=True)
class AssignedOffsets:
    """What a stage knows of its partitions when they are assigned to it."""

    processed_offsets: Mapping[int, int] = field(default_factory=dict)
    """By partition, the highest input offset whose outputs are durable; input up to there is skipped."""
    start_offsets: Mapping[int, int] = field(default_factory=dict)
    """By partition, where the stage itself has decided to start, whatever the group committed. The offset may be lower
    than the committed one: outputs that were durable once may be lost."""
    new_partitions: frozenset[int] = frozenset()
    """Partitions whose output log has never had a record, so that no input can have been processed."""
    remembered_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """By topic and partition, the highest offset known from any source. A log that ends below was recreated."""


class Stage(Protocol):
    """One step of the pipeline, reading one topic.

    The engine calls `process` batch by batch in offset order: one batch of a partition at a time, partitions
    concurrently. When it returns, every output of the batch is durable and the engine acknowledges the input. Any
    exception exits the process; recovery and the supervisor do the rest.
    """

    @property
    def topic(self) -> str:
        """The input topic."""

    @property
    def compacted(self) -> bool:
        """Whether the input topic is compacted, so that holes between offsets are no loss."""

    @property
    def max_records(self) -> int:
        """Maximum number of records of a batch; pending batches are merged up to here."""

    @property
    def linger_seconds(self) -> float:
        """Minimum time between batches of all partitions, unless one is full. 0 takes what is pending at once."""

    @property
    def waiting(self) -> bool:
        """Whether the stage waits for a system that is down, so that a lack of progress is no fault of this process."""

    async def start(self, membership: Membership) -> None:
        """Connect. Called once, before the first assignment."""

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return the positions of the partitions in *inputs*, the whole new assignment, before their first batches."""

    def commit_metadata(self, partition: int) -> str:
        """Return what to note with a commit of *partition*: at most 4,096 bytes, empty for nothing.

        `assigned` gets it back. Any thread may call this.
        """

    async def process(self, batch: RecordBatch) -> None:
        """Decide, write, wait, apply: return when every output of the batch is durable."""

    async def stop(self) -> None:
        """Release what `start` took."""
