"""The dedupe decision: a pure function of a batch of items and the dedupe entries of their keys.

A dedupe entry is a row of the table `seen`. Its key is that of the item, `project/messageId`. Its value is the item's
source offset (the offset that it has on `items.v1`; header `origin`), its time, and the digest of its content. An item
whose key has an entry younger than the dedupe window is a duplicate.

The time of an item is the broker's on `items.v1`; `processors.dedupe.clocks` says what counts instead while a clock is
wrong. No clock of a worker takes part, so every worker decides the same at any time.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processors.dedupe.clocks import Disagreement, agreeing, disputed_time, milliseconds
from processors.engine.output import Output
from processors.engine.stage import Put, SourceRecord
from processors.engine.window_clock import UNSET, advance
from processors.rejected import RejectedRecord, RejectionCode
from schemas.items import MAX_ID_CHARACTERS, Identify, Item, Track
from schemas.records import (
    DIGEST,
    INVALID_ITEM,
    MESSAGE_ID,
    ORIGIN,
    TIME,
    InvalidRecordError,
    content_digest,
    decode_item,
    duplicate_headers,
    item_key,
    read_item,
    source_offset_of,
)

ITEM_LIMIT_BYTES = 640 * 1024
"""More than the gateway accepts, and little enough for every output topic with IDs repeated in key and headers."""
_SMALL_BYTES = 64 * 1024
"""In a value up to this size no ID can be too long for a topic, whoever wrote it."""

_entry = struct.Struct("<qq")
_ENTRY_BYTES = _entry.size
_pack_without_digest, _unpack = _entry.pack, _entry.unpack_from
_pack = struct.Struct("<qqI").pack


def pack_entry(source_offset: int, time_ms: int, digest: bytes = b"") -> bytes:
    """Return the bytes of a dedupe entry; *digest* is that of the header `digest`, empty if unknown."""
    return _pack_without_digest(source_offset, time_ms) + digest


def unpack_entry(entry: bytes) -> tuple[int, int, bytes]:
    """Return source offset, time and digest of a dedupe entry."""
    source_offset, time_ms = _unpack(entry)
    return source_offset, time_ms, entry[_ENTRY_BYTES:]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a batch."""

    events: list[Output] = field(default_factory=list)
    """The records of `events.v1`: the first item of each key."""
    entries: list[Put] = field(default_factory=list)
    """The dedupe entry of each of `events`."""
    duplicates: list[Output] = field(default_factory=list)
    """The records of `duplicates.v1`."""
    rejected: list[RejectedRecord] = field(default_factory=list)
    identifies: list[tuple[SourceRecord, Identify]] = field(default_factory=list)
    """The identifies among the events, decoded."""
    disagreements: list[Disagreement] = field(default_factory=list)
    """Of each item whose times disagree."""


def decide(
    records: Sequence[SourceRecord], entries: Mapping[bytes, bytes | None], window_ms: int, clock_ms: int = UNSET
) -> Decision:
    """Return what becomes of *records*; *entries* has the dedupe entry of every key, or None.

    *clock_ms* is the clock of the entries (`processors.engine.window_clock`) before the batch.
    """
    decision = Decision()
    events, puts, known = decision.events, decision.entries, dict(entries)
    broker_ms, broker_time, first, last = UNSET, (TIME, b""), "~", ""
    # This loop is most of dedupe's work: calls are left out where they would cost a tenth of an item.
    for record in records:
        key, value, offset = record.key or b"", record.value or b"", record.offset
        try:
            item = read_item(value)
            good = f"{item.project_id}/{item.message_id}".encode() == key and len(value) <= _SMALL_BYTES
        except INVALID_ITEM:
            item, good = None, False
        if item is None or not good:
            found = _read(record)
            if isinstance(found, RejectedRecord):
                decision.rejected.append(found)
                continue
            item = found
        if record.timestamp != broker_ms:  # records of one Kafka batch have one time
            broker_ms = record.timestamp
            broker_time, (first, last) = (TIME, b"%d" % broker_ms), agreeing(broker_ms)
        time_ms, time = broker_ms, broker_time
        if not first <= item.received_at <= last:
            time_ms = _disputed(decision, broker_ms, item, clock_ms)
            time = (TIME, b"%d" % time_ms)
        entry = _pack(offset, time_ms, content_digest(item))
        if (seen := known[key]) is not None and time_ms - _unpack(seen)[1] < window_ms:
            decision.duplicates.append(_duplicate(record, seen, entry))
            continue
        if time_ms != clock_ms:
            clock_ms = advance(clock_ms, time_ms)
        known[key] = entry
        puts.append((key, entry, time_ms))
        message_id = key[len(item.project_id) + 1 :]
        headers = [(ORIGIN, b"%d" % offset), (MESSAGE_ID, message_id), time, (DIGEST, entry[_ENTRY_BYTES:])]
        events.append(Output(key, value, headers))
        if not isinstance(item, Track):
            decision.identifies.append((record, item))
    return decision


def _disputed(decision: Decision, broker_ms: int, item: Item, clock_ms: int) -> int:
    disagreement = Disagreement(broker_ms, milliseconds(item.received_at), clock_ms)
    decision.disagreements.append(disagreement)
    return disputed_time(disagreement)


def _duplicate(record: SourceRecord, seen: bytes, entry: bytes) -> Output:
    """Return the record on `duplicates.v1`; *seen* is the entry of its key and *entry* would be its own."""
    known = seen[_ENTRY_BYTES:]
    same = entry[_ENTRY_BYTES:] == known if known else None
    headers = duplicate_headers(record.offset, _unpack(seen)[0], same_content=same)
    return Output(record.key or b"", record.value, headers)


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

    The time of a record without the header `time` is the record's own.
    """
    puts: list[Put] = []
    text_before, time_ms = b"", UNSET
    for record in records:
        key, headers = record.key, record.headers
        try:
            (_, origin), _, (third, text), (fourth, digest) = headers
            source_offset = int(origin) if third == TIME and fourth == DIGEST else UNSET
        except ValueError:
            source_offset, text, digest = UNSET, b"", b""
        if source_offset < 0:  # not written by `decide`
            source_offset, text, digest = _mark(record)
        if key is None or source_offset <= processed_offset:
            continue
        processed_offset = source_offset
        if text != text_before:  # items of one Kafka batch have one time
            text_before, time_ms = text, int(text)
        puts.append((key, _pack_without_digest(source_offset, time_ms) + digest, time_ms))
    return puts, processed_offset


def _mark(record: SourceRecord) -> tuple[int, bytes, bytes]:
    """Return the source offset of a record of `events.v1`, and its time and digest as headers have them."""
    headers = dict(record.headers)
    time_ms, digest = headers.get(TIME, b"%d" % record.timestamp), headers.get(DIGEST, b"")
    return source_offset_of(record.headers), time_ms, digest
