"""The sink's stage for duplicates: `duplicates.v1` to the table `duplicates`.

The topic is at least once: after a failure, dedupe writes duplicates again. Their source offsets grow along a partition
but for such repeats, so the table writer drops them as it drops repeats of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from processors.engine.stage import InputOffsets, RecordBatch, SourceRecord
from processors.rejected import RejectedRecord, RejectionCode
from processors.rejected_topic import RejectedTopic
from processors.sink.assignment import Assignment, SinkLog
from processors.sink.insert import Sink
from processors.sink.lease import SinkLease
from processors.sink.log_reader import LogReader
from processors.sink.resume import Found
from processors.sink.rows import DuplicateRow, Row
from processors.sink.table_stage import TableStage
from processors.sink.writer import TableWriter
from schemas.clickhouse import DUPLICATES
from schemas.items import Track
from schemas.records import InvalidRecordError, decode_item, duplicate_of
from schemas.topics import Topics


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
                same_content, content, item.token_id, log, partition, source_offset,
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


class DuplicatesStage(TableStage):
    """Writes `duplicates`."""

    def __init__(
        self, topics: Topics, sink: Sink, rejected: RejectedTopic, sink_log: SinkLog, lease: SinkLease
    ) -> None:
        self._duplicates = TableWriter(DUPLICATES, sink, rejected)
        finder = BeginningFinder(topics, sink_log.reader)
        assignment = Assignment(topics.duplicates, [self._duplicates], sink_log, finder)
        super().__init__(topics.duplicates, [self._duplicates], rejected, assignment, lease)

    async def _write(self, batch: RecordBatch, on_refused: Callable[[], None]) -> None:
        rows, rejected = duplicate_rows(batch.records, self._duplicates.log, batch.partition)
        await self._rejected.write_records(rejected, batch.topic, batch.partition)
        await self._duplicates.write_rows(rows, batch.partition, on_refused)
