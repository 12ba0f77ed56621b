"""Rejected records: codes, and the writer of `rejected.v1`, the pipeline's dead-letter topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from processors.engine.stage import SourceRecord
from schemas.items import Rejection
from schemas.records import Record, rejection_record
from schemas.topics import Topics


class RejectionCode(StrEnum):
    """Why a worker rejects a record. The gateway's codes are in `gateway.ingest.rejections`."""

    NOT_AN_ITEM = "not_an_item"
    """The record does not decode to what its topic holds, or its key or a header is missing or wrong."""
    KEY_MISMATCH = "key_mismatch"
    """The key of a record on `items.v1` is not its item's `project/messageId`."""
    ITEM_TOO_LARGE = "item_too_large"
    """The value of a record on `items.v1` exceeds the limit; the gateway accepts less."""
    ID_TOO_LONG = "id_too_long"
    """`userId` or `messageId` has more than 255 characters; the gateway accepts no more."""
    PERSON_TOO_LARGE = "person_too_large"
    """Applying the identify would exceed the size limit of a person."""
    ROW_REJECTED = "row_rejected"
    """ClickHouse cannot store the row."""


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that a stage cannot process."""

    record: SourceRecord
    code: RejectionCode
    message: str


class Outputs(Protocol):
    """What `RejectedTopic` writes with; `ChangelogProducer` has this shape."""

    async def send(self, topic: str, records: Sequence[Record]) -> None:
        """Write *records*, each to the partition of its key; return when all are durable."""


class RejectedTopic:
    """Writes the rejections of one stage, at least once. Repeats have the same key, and readers drop them by it."""

    def __init__(self, outputs: Outputs, topics: Topics, stage: str) -> None:
        self._outputs = outputs
        self._topic = topics.rejected
        self._stage = stage

    async def write_records(self, rejected: Iterable[RejectedRecord]) -> None:
        """Write *rejected* records with their values; return when all are durable."""
        await self.write(
            (self.rejection(each.code, each.message, key=each.record.key), each.record.value or b"")
            for each in rejected
        )

    async def write(self, rejections: Iterable[tuple[Rejection, bytes]]) -> None:
        """Write each rejection with the content that it concerns; return when all are durable."""
        await self._outputs.send(self._topic, [rejection_record(reason, content) for reason, content in rejections])

    def rejection(
        self, code: RejectionCode, message: str, *, key: bytes | None, message_id: str | None = None
    ) -> Rejection:
        """Return a rejection, dated now, of what has *key* (`project/id`)."""
        return Rejection(
            project_id=(key or b"").partition(b"/")[0].decode("utf-8", "replace"),
            stage=self._stage,
            code=code,
            message=message,
            rejected_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            message_id=message_id,
        )
