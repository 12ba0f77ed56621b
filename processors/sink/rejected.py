"""The sink's stage for rejections: `rejected.v1` to the table `rejected`, a row for each record.

The position of the table is an offset of the topic itself, because the topic has many writers. A record that is no
rejection has a row too, so nothing that this stage reads leads to another record on `rejected.v1`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from processors.clickhouse.codes import summary
from processors.engine.stage import RecordBatch, SourceRecord
from processors.rejected import RejectionCode
from processors.rejected_topic import RejectedTopic
from processors.sink.assignment import Assignment, SinkLog
from processors.sink.insert import Sink
from processors.sink.lease import SinkLease
from processors.sink.log_reader import OwnOffsetFinder
from processors.sink.rows import RejectedRow, Row
from processors.sink.table_stage import TableStage
from processors.sink.writer import TableWriter
from schemas.clickhouse import REJECTED
from schemas.items import Rejection
from schemas.records import INVALID_ITEM
from schemas.times import format_time, parse_time
from schemas.topics import Topics

NOT_A_REJECTION = "not_a_rejection"
"""Code of a row whose record does not decode to a rejection. Its `message` has the reason."""
NAME_CHARACTERS = 255
"""Longest ID and name that a row has of its content; a valid one has no more."""
VALUE_CHARACTERS = 256
_GATEWAY = "gateway"

log = logging.getLogger(__name__)

_rejections = msgspec.json.Decoder(Rejection)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_texts = msgspec.json.Decoder(str)


def rejection_rows(records: Iterable[SourceRecord], log_id: int, partition: int) -> list[Row]:
    """Return a row for each of *records* of `rejected.v1`, whose offsets belong to *log_id*."""
    return [_row(record, log_id, partition) for record in records]


def _row(record: SourceRecord, log_id: int, partition: int) -> RejectedRow:
    rejection = _read(record)
    base64 = rejection.content_base64 is not None
    content = rejection.content_base64 if base64 else rejection.content
    members = {} if base64 else _read_members(content or "")
    is_row = rejection.table is not None
    user_id, message_id, received_at, token_id = (
        ("user_id", "message_id", "received_at", "token_id")
        if is_row
        else ("userId", "messageId", "receivedAt", "tokenId")
    )
    # What a producer says to the gateway about the time of receipt and its token means nothing.
    by_gateway = rejection.stage == _GATEWAY
    received = None if by_gateway else _time(_text(members, received_at))
    token = rejection.token_id or ("" if by_gateway else _text(members, token_id))
    is_placed = None not in (rejection.source_topic, rejection.source_partition, rejection.source_offset)
    return RejectedRow(
        rejection.project_id, rejection.stage, rejection.code, rejection.field or "",
        _raw(members, rejection.field or "")[:VALUE_CHARACTERS], rejection.message,
        rejection.message_id or _text(members, message_id), _text(members, "type"), _text(members, "event"),
        _text(members, user_id), received or rejection.rejected_at, rejection.rejected_at, rejection.request_id or "",
        rejection.table or "", content or "", base64, rejection.truncated,
        (rejection.source_topic or "") if is_placed else REJECTED.topic,
        (rejection.source_partition or 0) if is_placed else partition,
        (rejection.source_offset or 0) if is_placed else record.offset,
        token, log_id, partition, record.offset,
    )  # fmt: skip


def _read(record: SourceRecord) -> Rejection:
    """Return the rejection in *record*, or one that says why it has none."""
    try:
        rejection = _rejections.decode(record.value or b"")
        rejected_at = format_time(parse_time(rejection.rejected_at))
        if min(rejection.source_partition or 0, rejection.source_offset or 0) < 0:
            raise ValueError("sourcePartition and sourceOffset must not be negative.")  # noqa: TRY301
        return msgspec.structs.replace(rejection, rejected_at=rejected_at)
    except (*INVALID_ITEM, ValueError) as error:
        at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        return Rejection(
            project_id=(record.key or b"").partition(b"/")[0].decode("utf-8", "replace"),
            stage="sink",
            code=NOT_A_REJECTION,
            message=str(error),
            rejected_at=at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            content=(record.value or b"").decode("utf-8", "replace"),
        )


def _read_members(content: str) -> Mapping[str, msgspec.Raw]:
    """Return the members of the object in *content*; none if it is no strict JSON object, or cut."""
    try:
        return _members.decode(content)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {}


def _raw(members: Mapping[str, msgspec.Raw], name: str) -> str:
    return bytes(members[name]).decode() if name in members else ""


def _text(members: Mapping[str, msgspec.Raw], name: str) -> str:
    """Return the text of a member, the JSON text of one that is none, at most `NAME_CHARACTERS`."""
    raw = _raw(members, name)
    try:
        text = _texts.decode(raw) if raw.startswith('"') else "" if raw == "null" else raw
    except msgspec.DecodeError:
        text = raw
    return text[:NAME_CHARACTERS]


def _time(text: str) -> str | None:
    try:
        return format_time(parse_time(text))
    except ValueError:
        return None


class _RejectedWriter(TableWriter):
    """Writes `rejected`. A row that ClickHouse does not take is logged: its record is on the topic already."""

    async def reject(self, row: Row, code: RejectionCode, message: str) -> None:
        """Log that *row* is not stored, and count it as done."""
        log.error(
            "rejected: ClickHouse does not store the rejection at offset %d of partition %d (%s): %s. It stays on "
            "rejected.v1 until its retention ends",
            *(row.source_offset, row.partition, code, summary(message)),
        )
        self.count_done(row)


class RejectedStage(TableStage):
    """Writes `rejected`."""

    def __init__(
        self, topics: Topics, sink: Sink, rejected: RejectedTopic, sink_log: SinkLog, lease: SinkLease
    ) -> None:
        self._table = _RejectedWriter(REJECTED, sink, rejected)
        assignment = Assignment(topics.rejected, [self._table], sink_log, OwnOffsetFinder(topics.rejected))
        super().__init__(topics.rejected, [self._table], rejected, assignment, lease)

    async def _write(self, batch: RecordBatch, on_refused: Callable[[], None]) -> None:
        rows = await asyncio.to_thread(rejection_rows, batch.records, self._table.log, batch.partition)
        await self._table.write_rows(rows, batch.partition, on_refused)
