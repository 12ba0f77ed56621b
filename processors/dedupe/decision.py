"""Which items are new: a pure function of the marks and a run of records.

A mark says that a messageId was seen: at which offset of `items.v1` (its origin) and when, by the broker's clock. Item
and mark have the same key, so the mark of a record is found by the record's key. The record that made a mark is not a
duplicate of itself; it is simply done. Time is the records' own, so any worker decides the same at any time.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from processors.engine.stage import SourceRecord
from schemas.items import MAX_ID_CHARACTERS, Identify, Item
from schemas.records import InvalidRecordError, decode_item, item_key, origin_of

ITEM_LIMIT_BYTES = 640 * 1024
"""More than the gateway lets in at most, and small enough to be written to any topic, ids in key and headers again."""
_SMALL_BYTES = 64 * 1024
"""A value whose ids cannot be too long for that, whoever wrote it."""

_mark = struct.Struct("<qq")
pack_entry = _mark.pack
unpack_entry = _mark.unpack


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record that is not an item, and why."""

    record: SourceRecord
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What a run of records comes to."""

    unique: list[SourceRecord]
    duplicates: int
    poison: list[RejectedRecord]
    identifies: list[tuple[SourceRecord, Identify]]
    """Those of `unique` that are identifies, as they were read."""


def decide(records: Sequence[SourceRecord], marks: Mapping[bytes, bytes | None], window_ms: int) -> Decision:
    """Return which of *records* are new, given the *marks* of their keys; *window_ms* is how long a mark counts."""
    unique: list[SourceRecord] = []
    poison: list[RejectedRecord] = []
    identifies: list[tuple[SourceRecord, Identify]] = []
    fresh: dict[bytes, int] = {}
    duplicates = 0
    for record in records:
        key = record.key
        item = _read(record)
        if isinstance(item, RejectedRecord):
            poison.append(item)
            continue
        assert key is not None  # noqa: S101  # `_read` has seen to it; a run-time check for every record would be waste
        seen_at = fresh.get(key)
        if seen_at is None and (mark := marks[key]) is not None:
            seen_at = unpack_entry(mark)[1]
        if seen_at is not None and record.timestamp - seen_at < window_ms:
            duplicates += 1
            continue
        fresh[key] = record.timestamp
        unique.append(record)
        if isinstance(item, Identify):
            identifies.append((record, item))
    return Decision(unique, duplicates, poison, identifies)


def _read(record: SourceRecord) -> Item | RejectedRecord:
    """Return the item of *record*, or why it is none."""
    value = record.value
    if value is None or record.key is None:
        return RejectedRecord(record, "not_an_item", "the record has no key or no value")
    if len(value) > ITEM_LIMIT_BYTES:
        return RejectedRecord(record, "item_too_large", f"the record's value has more than {ITEM_LIMIT_BYTES} bytes")
    try:
        item = decode_item(value)
    except InvalidRecordError as error:
        return RejectedRecord(record, "not_an_item", str(error))
    if item_key(item.project_id, item.message_id) != record.key:
        return RejectedRecord(record, "key_mismatch", "the record's key is not that of its item")
    if len(value) > _SMALL_BYTES and max(len(item.user_id), len(item.message_id)) > MAX_ID_CHARACTERS:
        return RejectedRecord(
            record, "id_too_long", f"userId or messageId has more than {MAX_ID_CHARACTERS} characters"
        )
    return item


def replay(
    records: Sequence[SourceRecord], processed_offset: int, known: object = None
) -> tuple[list[tuple[bytes, bytes | None, int]], int]:
    """Return the marks that records of `events.v1` stand for, and the highest origin; *decided* is the one before.

    What marks are *known* is of no account: a record tells its own.

    Origins only grow within a partition. One that does not was written by a worker that had been paused and woke after
    its partition moved: the record repeats one before it.
    """
    del known
    puts: list[tuple[bytes, bytes | None, int]] = []
    for record in records:
        origin = origin_of(record.headers)
        if record.key is None or origin <= processed_offset:
            continue
        processed_offset = max(processed_offset, origin)
        puts.append((record.key, pack_entry(origin, record.timestamp), record.timestamp))
    return puts, processed_offset
