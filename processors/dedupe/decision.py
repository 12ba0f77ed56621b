"""The dedupe decision: a pure function of a batch of items and the dedupe entries of their keys.

A dedupe entry is a row of the table `seen`. Its key is that of the item, `project/messageId`. Its value is the item's
source offset (the offset that it has on `items.v1`; header `origin`) and the broker's time of the item. An item whose
key has an entry younger than the dedupe window is a duplicate.

Time is the records' own, so every worker decides the same at any time.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from processors.engine.stage import Put, SourceRecord
from processors.rejected import RejectedRecord, RejectionCode
from schemas.items import MAX_ID_CHARACTERS, Identify, Item
from schemas.records import InvalidRecordError, decode_item, item_key, source_offset_of

ITEM_LIMIT_BYTES = 640 * 1024
"""More than the gateway accepts, and little enough for every output topic with IDs repeated in key and headers."""
_SMALL_BYTES = 64 * 1024
"""In a value up to this size no ID can be too long for a topic, whoever wrote it."""

_entry = struct.Struct("<qq")
pack_entry = _entry.pack
"""Return the bytes of a dedupe entry from source offset and time, milliseconds since 1970."""
unpack_entry = _entry.unpack
"""Return source offset and time of a dedupe entry."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a batch; records in neither list are duplicates."""

    unique: list[SourceRecord]
    rejected: list[RejectedRecord]
    identifies: list[tuple[SourceRecord, Identify]]
    """The identifies among `unique`, decoded."""


def decide(records: Sequence[SourceRecord], entries: Mapping[bytes, bytes | None], window_ms: int) -> Decision:
    """Return which of *records* are unique within *window_ms*; *entries* has the dedupe entry of every key, or None."""
    unique: list[SourceRecord] = []
    rejected: list[RejectedRecord] = []
    identifies: list[tuple[SourceRecord, Identify]] = []
    seen_in_batch: dict[bytes, int] = {}
    for record in records:
        key = record.key
        item = _read(record)
        if isinstance(item, RejectedRecord):
            rejected.append(item)
            continue
        assert key is not None  # noqa: S101  # `_read` rejects it; another check for every record would cost time
        seen_at = seen_in_batch.get(key)
        if seen_at is None and (entry := entries[key]) is not None:
            seen_at = unpack_entry(entry)[1]
        if seen_at is not None and record.timestamp - seen_at < window_ms:
            continue
        seen_in_batch[key] = record.timestamp
        unique.append(record)
        if isinstance(item, Identify):
            identifies.append((record, item))
    return Decision(unique, rejected, identifies)


def _read(record: SourceRecord) -> Item | RejectedRecord:
    """Return the item in *record*, or its rejection."""
    value = record.value
    if value is None or record.key is None:
        return RejectedRecord(record, RejectionCode.NOT_AN_ITEM, "The record has no key or no value.")
    if len(value) > ITEM_LIMIT_BYTES:
        message = f"The record's value has {len(value)} bytes; the limit is {ITEM_LIMIT_BYTES}."
        return RejectedRecord(record, RejectionCode.ITEM_TOO_LARGE, message)
    try:
        item = decode_item(value)
    except InvalidRecordError as error:
        return RejectedRecord(record, RejectionCode.NOT_AN_ITEM, str(error))
    if item_key(item.project_id, item.message_id) != record.key:
        message = "The record's key is not `project/messageId` of its item."
        return RejectedRecord(record, RejectionCode.KEY_MISMATCH, message)
    if len(value) > _SMALL_BYTES and max(len(item.user_id), len(item.message_id)) > MAX_ID_CHARACTERS:
        message = f"`userId` or `messageId` has more than {MAX_ID_CHARACTERS} characters."
        return RejectedRecord(record, RejectionCode.ID_TOO_LONG, message)
    return item


def replay(records: Sequence[SourceRecord], processed_offset: int) -> tuple[list[Put], int]:
    """Return the dedupe entries that *records* of `events.v1` give, and the highest source offset, which is processed.

    Source offsets grow within a partition. A record whose source offset is not above *processed_offset* repeats an
    earlier one: it was written by a worker that was paused and resumed after its partition had moved.
    """
    puts: list[Put] = []
    for record in records:
        source_offset = source_offset_of(record.headers)
        if record.key is None or source_offset <= processed_offset:
            continue
        processed_offset = source_offset
        puts.append((record.key, pack_entry(source_offset, record.timestamp), record.timestamp))
    return puts, processed_offset
