"""Rejected records and their codes. `processors.rejected_topic` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from processors.engine.stage import SourceRecord
from schemas.records import ORIGIN, ORIGIN_PARTITION
from schemas.topics import Topics, without_prefix


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
    """ClickHouse cannot parse or convert a value of the row."""
    ENGINE_CANNOT_STORE = "engine_cannot_store"
    """ClickHouse fails repeatedly because of the row, while it stores others."""


_DIGITS = 18
"""Of the largest offset that is believed."""
_ITEMS = without_prefix(Topics().items)


class Source(NamedTuple):
    """What was rejected. However often it is rejected, it has one source."""

    topic: str
    """Without the prefix: `items.v1` if the item's source offset is known, otherwise the topic of the record."""
    partition: int
    offset: int


def source_of(record: SourceRecord, topic: str, partition: int) -> Source:
    """Return the source of *record*, which was read from *partition* of *topic*.

    Headers of a record on `items.v1` are the producer's own and mean nothing.
    """
    name = without_prefix(topic)
    headers = dict(record.headers)
    if name != _ITEMS and (origin := _number(headers.get(ORIGIN))) is not None:
        of_header = _number(headers.get(ORIGIN_PARTITION))
        return Source(_ITEMS, partition if of_header is None else of_header, origin)
    return Source(name, partition, record.offset)


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) <= _DIGITS else None


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that a stage cannot process."""

    record: SourceRecord
    code: RejectionCode
    message: str
