"""From a rejected item back to what a producer sends. Pure.

The time at which an item happened must not move: `timestamp` is corrected for the sender's clock as it was at the time
of receipt, or is that time, and `sentAt` is left out. An item without a `messageId` gets one that follows from its
place on `rejected.v1`, so that replaying it again is harmless.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES
from schemas.items import MAX_ID_CHARACTERS
from schemas.times import correct, format_time, parse_time

REPLAYED = "replayed:"
"""Beginning of the messageId of an item whose own is on `events.v1` already, so that dedupe would drop it."""
AFTER_DEDUPE = ("persons", "sink")
"""Stages whose input dedupe has seen."""
_OF_THE_PIPELINE = ("projectId", "receivedAt", "originalTimestamp", "sentAt", "warnings")
"""Members of a record that no producer sends, or that would correct `timestamp` again."""
_ITEM_OF_ROW = {
    "message_id": "messageId",
    "user_id": "userId",
    "event": "event",
    "timestamp": "timestamp",
    "properties": "properties",
    "traits": "traits",
    "anonymous_id": "anonymousId",
}
_TEXTS_OF_ROW = ("context", "integrations")
"""Columns with JSON text in a JSON string."""

_members = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)


class NotReplayableError(Exception):
    """The rejected item cannot be sent; the message says why."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A rejected item as it can be sent."""

    place: str
    """Partition and offset on `rejected.v1`."""
    before: bytes
    """The item before any change, as JSON text."""
    item: bytes
    """The item as a producer sends it, as JSON text."""


def replayed(row: Mapping[str, Any]) -> Replayed:
    """Return the item in *row* of `rejected`; `NotReplayableError` if there is none that can be sent."""
    place = f"partition {row['_partition']}, offset {row['_origin']}"
    members = _read(row)
    before = dict(members)
    if row["table_name"]:
        members = before = _of_row(members, str(row["table_name"]))
    if row["stage"] == "gateway":
        _keep_time(members, str(row["received_at"]))
    else:
        members = {name: value for name, value in members.items() if name not in _OF_THE_PIPELINE}
    members["messageId"] = _raw(_message_id(members, row))
    return Replayed(place, msgspec.json.encode(before), msgspec.json.encode(members))


def _read(row: Mapping[str, Any]) -> dict[str, Raw]:
    if row["is_base64"]:
        raise NotReplayableError("its content is not text")
    if row["is_truncated"]:
        raise NotReplayableError("its content was longer than 1 MiB and was cut")
    try:
        return _members.decode(row["content"])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        # Lone surrogates, NaN and the like, which the gateway may have rejected for other reasons.
        loaded = json.loads(row["content"])
    except (ValueError, RecursionError) as error:
        raise NotReplayableError("its content is not JSON") from error
    if not isinstance(loaded, dict):
        raise NotReplayableError("its content is not a JSON object")
    return {name: Raw(json.dumps(value).encode()) for name, value in loaded.items()}


def _of_row(row: Mapping[str, Raw], table: str) -> dict[str, Raw]:
    """Return the item of a row that ClickHouse did not take."""
    if table == DUPLICATES.name:
        raise NotReplayableError("it is a duplicate")
    if table not in (EVENTS.name, IDENTIFIES.name):
        raise NotReplayableError(f"it is a row of {table} and no item")
    item = {"type": _raw("track" if table == EVENTS.name else "identify")}
    item |= {wire: row[column] for column, wire in _ITEM_OF_ROW.items() if row.get(column, _NULL) != _NULL}
    return item | {name: Raw(_text.decode(row[name]).encode()) for name in _TEXTS_OF_ROW if name in row}


def _keep_time(members: dict[str, Raw], received_at: str) -> None:
    """Set `timestamp` to the corrected time of an item that was received at *received_at*."""
    received = parse_time(f"{received_at.replace(' ', 'T')}Z")
    sent = members.pop("sentAt", None)
    original = members.pop("originalTimestamp", None)
    timestamp = members.get("timestamp", original)
    if timestamp is None or timestamp in (_NULL, _EMPTY):
        members["timestamp"] = _raw(format_time(received))
        return
    members["timestamp"] = timestamp
    try:
        times = correct(parse_time(_text.decode(timestamp)), parse_time(_text.decode(sent or _NULL)), received)
    except (msgspec.DecodeError, ValueError):
        return  # Another form, which the gateway may repair, or no time of the sender.
    members["timestamp"] = _raw(format_time(times.corrected))


def with_type(item: bytes) -> bytes:
    """Return *item*, with `type` if its path gave it: a track has an event, and an identify has traits."""
    members = json.loads(item)
    if "type" in members or not {"event", "traits"} & members.keys():
        return item
    start = b'{"type":"track",' if "event" in members else b'{"type":"identify",'
    return start + item.lstrip()[1:]


def _message_id(members: Mapping[str, Raw], row: Mapping[str, Any]) -> str | Raw:
    """Return the messageId to send: the item's own unless dedupe would drop it."""
    own = members.get("messageId", _NULL)
    if own in (_NULL, _EMPTY):
        return f"rejected:{row['_log']}-{row['_partition']}-{row['_origin']}"
    if row["stage"] not in AFTER_DEDUPE:
        return own
    message_id = f"{REPLAYED}{row['message_id']}"
    if len(message_id) <= MAX_ID_CHARACTERS:
        return message_id
    return REPLAYED + hashlib.sha256(message_id.encode()).hexdigest()


def _raw(value: str | Raw) -> Raw:
    return value if isinstance(value, Raw) else Raw(msgspec.json.encode(value))


_NULL, _EMPTY = Raw(b"null"), Raw(b'""')
