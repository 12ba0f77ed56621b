"""The sink's stage for duplicates: `duplicates.v1` to the table `duplicates`.

The topic is at least once: after a failure, dedupe writes duplicates again. Their source offsets grow along a partition
but for such repeats, so the table writer drops them as it drops repeats of events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from processors.engine.stage import AssignedOffsets, InputOffsets, Membership, RecordBatch, SourceRecord
from processors.rejected import RejectedRecord, RejectionCode
from processors.rejected_topic import RejectedTopic
from processors.sink.assignment import Assignment, SinkLog
from processors.sink.insert import Sink
from processors.sink.lease import SinkLease
from processors.sink.log_reader import LogReader
from processors.sink.resume import Found
from processors.sink.rows import DuplicateRow, Row
from processors.sink.slots import Slots
from processors.sink.views import ViewCheck
from processors.sink.writer import TableWriter
from schemas.clickhouse import DUPLICATES
from schemas.items import Track
from schemas.records import InvalidRecordError, decode_item, duplicate_of
from schemas.topics import Topics

CONCURRENT_BATCHES = 4
"""Batches in memory as rows and blocks; those of several partitions share an INSERT."""


def duplicate_rows(records: Iterable[SourceRecord], log: int, partition: int) -> tuple[list[Row], list[RejectedRecord]]:
    """Return the rows of *records* of `duplicates.v1`, whose source offsets belong to *log*, and rejected records."""
    rows: list[Row] = []
    rejected: list[RejectedRecord] = []
    for record in records:
        try:
            item, (source_offset, first_offset, same_content) = decode_item(record.value), duplicate_of(record.headers)
            content = str(record.value or b"", "utf-8")
        except (InvalidRecordError, KeyError, ValueError) as error:
            rejected.append(RejectedRecord(record, RejectionCode.NOT_AN_ITEM, str(error)))
            continue
        kind, event = ("track", item.event) if isinstance(item, Track) else ("identify", "")
        rows.append(
            DuplicateRow(
                item.project_id, item.message_id, kind, event, item.user_id, item.received_at, first_offset,
                same_content, content, log, partition, source_offset,
            )
        )  # fmt: skip
    return rows, rejected


class BeginningFinder:
    """Starts at the beginning of the topic where the table lacks rows, and lets the position drop what it has.

    A search as on `events.v1` is not safe here: after a failure, more duplicates than one batch has may be repeated.
    """

    def __init__(self, topics: Topics, reader: LogReader) -> None:
        self.source = topics.items
        """The topic of the source offsets."""
        self._topic = topics.duplicates
        self._reader = reader

    def known_start(self, position: int) -> int:
        """Return 0: only the topic tells."""
        del position
        return 0

    async def find(self, partition: int, inputs: InputOffsets, position: int) -> Found:
        """Return the first offset of the topic, and whether the topic still has every duplicate after *position*."""
        if inputs.log_start == 0:
            return Found(0)
        async with self._reader(self._topic, partition, inputs.log_end) as windows:
            window = await windows.read(inputs.log_start, position)
        return Found(inputs.log_start, window.follows_position, window.exceeding)


class DuplicatesStage:
    """Writes `duplicates`."""

    compacted = False
    max_records = 10_000
    # Few rows: a longer linger gives fewer INSERTs, each of which has a fixed cost.
    linger_seconds = 0.4

    def __init__(
        self, topics: Topics, sink: Sink, rejected: RejectedTopic, sink_log: SinkLog, lease: SinkLease
    ) -> None:
        self.topic = topics.duplicates
        self._rejected = rejected
        self._duplicates = TableWriter(DUPLICATES, sink, rejected)
        self._lease = lease
        self._duplicates.start(lease)
        self._views: ViewCheck | None = None
        finder = BeginningFinder(topics, sink_log.reader)
        self._assignment = Assignment(topics.duplicates, [self._duplicates], sink_log, finder)
        self._slots = Slots(CONCURRENT_BATCHES)

    @property
    def waiting(self) -> bool:
        """Whether the table waits for ClickHouse, or the start is being decided."""
        return self._duplicates.waiting or self._assignment.waiting

    def check_views(self, views: ViewCheck) -> None:
        """Check the views of the table with *views*, from `start` on."""
        self._views = views
        views.watch(self._duplicates)

    async def start(self, membership: Membership) -> None:
        """Start the lease that INSERTs carry."""
        self._lease.start(membership)
        if self._views is not None:
            self._views.start()

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return where each partition starts: the position of the table tells."""
        if self._views is not None:
            self._views.assigned(inputs)
        return await self._assignment.assigned(inputs)

    def commit_metadata(self, partition: int) -> str:
        """Return the position that the table has shown."""
        return self._assignment.commit_metadata(partition)

    async def process(self, batch: RecordBatch) -> None:
        """Write the rows of *batch*."""
        async with self._slots.take() as slot:
            rows, rejected = duplicate_rows(batch.records, self._duplicates.log, batch.partition)
            await self._rejected.write_records(rejected)
            await self._duplicates.write_rows(rows, batch.partition, slot.release)

    async def stop(self) -> None:
        """End the lease, and log the last rejections; connections belong to the sink."""
        self._lease.stop()
        if self._views is not None:
            self._views.stop()
        self._rejected.stop()
