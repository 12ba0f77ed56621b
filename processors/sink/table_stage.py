"""What the stages of the sink share: a stage writes the records of one topic to tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from processors.engine.stage import AssignedOffsets, InputOffsets, Membership, RecordBatch
from processors.rejected_topic import RejectedTopic
from processors.sink.assignment import Assignment
from processors.sink.erased import ErasedRows
from processors.sink.lease import SinkLease
from processors.sink.slots import Slots
from processors.sink.views import ViewCheck
from processors.sink.writer import TableWriter

CONCURRENT_BATCHES = 4
"""Batches in memory as rows and blocks: enough to prepare some while ClickHouse writes others.

A batch that ClickHouse does not take, although it works, counts no more: the others must not wait for it.
"""


class TableStage(ABC):
    """A stage that reads one topic and writes its tables. A subclass names the topic and writes a batch."""

    compacted = False
    max_records = 10_000
    # Few rows: a longer linger gives fewer INSERTs, each of which has a fixed cost.
    linger_seconds = 0.4

    def __init__(
        self,
        topic: str,
        writers: Sequence[TableWriter],
        rejected: RejectedTopic,
        assignment: Assignment,
        lease: SinkLease,
    ) -> None:
        self.topic = topic
        self._writers = writers
        self._rejected = rejected
        self._assignment = assignment
        self._lease = lease
        for writer in writers:
            writer.start(lease)
        self._views: ViewCheck | None = None
        self._slots = Slots(CONCURRENT_BATCHES)

    @property
    def waiting(self) -> bool:
        """Whether a table waits for ClickHouse, or the start is being decided."""
        return self._assignment.waiting or any(writer.waiting for writer in self._writers)

    def check_views(self, views: ViewCheck) -> None:
        """Check the views of the tables with *views*, from `start` on."""
        self._views = views
        for writer in self._writers:
            views.watch(writer)

    def leave_out(self, erased: ErasedRows) -> None:
        """Leave out the rows that *erased* says."""
        for writer in self._writers:
            writer.leave_out(erased)

    async def start(self, membership: Membership) -> None:
        """Start the lease that INSERTs carry."""
        self._lease.start(membership)
        if self._views is not None:
            self._views.start()

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return where each partition starts: the positions of the tables tell."""
        return await self._assignment.assigned(inputs)

    def commit_metadata(self, partition: int) -> str:
        """Return the positions that the tables have shown."""
        return self._assignment.commit_metadata(partition)

    async def process(self, batch: RecordBatch) -> None:
        """Write the rows of *batch*."""
        async with self._slots.take() as slot:
            await self._write(batch, slot.release)

    @abstractmethod
    async def _write(self, batch: RecordBatch, on_refused: Callable[[], None]) -> None:
        """Return when each row of *batch* is written or rejected; *on_refused* is that of `TableWriter.write_rows`."""

    async def stop(self) -> None:
        """End the lease, and log the last rejections; connections belong to the sink."""
        self._lease.stop()
        if self._views is not None:
            self._views.stop()
        self._rejected.stop()
