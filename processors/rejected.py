"""Rejected records and their codes. `processors.rejected_topic` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from processors.engine.stage import SourceRecord


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


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that a stage cannot process."""

    record: SourceRecord
    code: RejectionCode
    message: str
