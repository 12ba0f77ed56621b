"""A table whose changelog is the stage's output log: the log is the truth, the local store is a cache of it.

`write` is the rule for every stage in one place: the outputs first, acknowledged by all in-sync replicas; then the
local state, with the offset that the outputs got, in one atomic write. An unexpected offset shows that another worker
wrote in between: it exits the process, and recovery reads what was missed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from faust.types import TP

from processors.engine import contiguous, failpoints
from processors.engine.offsets import OffsetReader
from processors.engine.producer import ChangelogProducer, Output
from processors.engine.rocksdb import PartitionStore
from processors.engine.stage import AssignedOffsets, Known, Put, SourceRecord
from processors.engine.store import PartitionedStore, Replay

log = logging.getLogger(__name__)


class RecoveredRecords:
    """Counts the changelog records that recovery applies."""

    def __init__(self) -> None:
        self._count = 0

    def counted(self, replay: Replay) -> Replay:
        """Return *replay* that counts its records."""

        def counting(records: Sequence[SourceRecord], processed_offset: int, known: Known) -> tuple[list[Put], int]:
            self._count += len(records)
            return replay(records, processed_offset, known)

        return counting

    def take(self) -> int:
        """Return the number of records since the last call."""
        count, self._count = self._count, 0
        return count


class ChangelogTable:
    """A Faust table with its output log."""

    def __init__(
        self, table: Any, producer: ChangelogProducer, offsets: OffsetReader, recovered: RecoveredRecords
    ) -> None:
        self._table = table
        self._recovered = recovered
        self._offsets = offsets
        self._producer = producer
        self._assigned: frozenset[int] = frozenset()
        self._checked = False
        self.source = ""
        """The input topic of the stage, once a partition of it was assigned here."""

    @property
    def topic(self) -> str:
        """The output log."""
        name: str = self._table.changelog_topic_name
        return name

    @property
    def store(self) -> PartitionedStore:
        """Faust's store of the table."""
        return self._table.data  # type: ignore[no-any-return]

    def partition(self, number: int) -> PartitionStore:
        """Return the local state of partition *number*."""
        return self.store.partition(number)

    async def positions(self, source: str, numbers: Iterable[int]) -> AssignedOffsets:
        """Return the processed offset of each partition of the *source* topic.

        Raises `LocalStateError` if an output log was not recovered to its end, `TruncatedLogError` if one ends below
        the local state.
        """
        await self._check_recreated_logs()
        self.source = source
        self._assigned = frozenset(numbers)
        assigned = sorted(self._assigned)
        logs = await self._offsets.read(TP(self.topic, number) for number in assigned)
        for tp, offsets in logs.items():
            self.store.verify_recovered(tp.partition, offsets)
        if recovered := self._recovered.take():
            log.info("recovered local state from %d records of %s", recovered, self.topic)
        processed = {number: self.partition(number).processed_offset for number in assigned}
        return AssignedOffsets(
            {number: offset for number, offset in processed.items() if offset >= 0},
            remembered_offsets={(source, number): offset for number, offset in processed.items()},
            new_partitions=frozenset(tp.partition for tp, offsets in logs.items() if offsets.log_end == 0),
        )

    async def _check_recreated_logs(self) -> None:
        """Raise `TruncatedLogError` if a log ends below the local state, even if its partition is assigned elsewhere.

        Kafka forgets what groups have committed of a topic when it is deleted, so local state alone remembers.
        """
        if self._checked:
            return
        partitions = await self._producer.partitions(self.topic)
        stored = {number: offset for number, offset in self.store.stored_offsets().items() if number < partitions}
        for tp, offsets in (await self._offsets.read(TP(self.topic, number) for number in stored)).items():
            self.store.check_not_recreated(tp.partition, stored[tp.partition], offsets)
        self._checked = True

    def applied_offsets(self) -> dict[TP, int]:
        """Return the changelog offset of each assigned partition that is open here."""
        found = ((TP(self.topic, number), self.store.changelog_offset(number)) for number in self._assigned)
        return {tp: offset for tp, offset in found if offset is not None}

    def size_bytes(self) -> dict[TP, int]:
        """Return the size of the local state of each partition that is open here."""
        return {TP(self.topic, number): size for number, size in self.store.size_bytes().items()}

    async def write(
        self, number: int, outputs: Sequence[Output], puts: Iterable[Put], *, processed_offset: int
    ) -> None:
        """Write *outputs*, wait until they are durable, then apply *puts* and the last input offset atomically."""
        state = self.partition(number)
        failpoints.hit("decided")
        last = await self.append(number, outputs)
        failpoints.hit("produced")
        state.apply(puts, changelog_offset=last, processed_offset=processed_offset)
        failpoints.hit("applied")

    async def append(self, number: int, outputs: Sequence[Output]) -> int:
        """Write *outputs* to the log and return its last offset; `InterleavedWriterError` if another worker wrote."""
        state = self.partition(number)
        before = state.changelog_offset
        if not outputs:
            return before
        first = await self._producer.append(self.topic, number, outputs)
        contiguous.check_output(TP(self.topic, number), first, expected=before + 1, applied=state.changelog_offset)
        return first + len(outputs) - 1
