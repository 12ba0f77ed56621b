"""The rules of an item: the slow path, which decides where the fast path in `gateway.ingest.validate` is not certain.

The order of the checks decides which error is reported. Valid items are returned as decoded, with their objects as raw
JSON.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Raw

from gateway.ingest.json_checks import (
    exceeds_parser,
    has_large_float,
    has_large_integer,
    may_have_large_number,
    nests_deeper,
    without_strings,
)
from gateway.ingest.rejections import Code, ValidationError
from schemas.items import MAX_ID_CHARACTERS
from schemas.times import parse_time

ItemType = Literal["track", "identify"]

MAX_DEPTH = 32
"""Maximum nesting of objects and arrays in the value of a field."""
ITEM_DEPTH = MAX_DEPTH + 1
"""The item's own object contains the values."""
ABSENT = Raw()
"""Value of an object field that is missing or null."""

_CONSTANT = re.compile(rb"-?(?:NaN|Infinity)")

ID = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]


class WireItem(msgspec.Struct, rename="camel", gc=False):
    """An item as sent. Decoding checks the types and lengths of its strings only."""

    type: ItemType | None = None
    user_id: ID | None = None
    event: ID | None = None
    message_id: ID | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    """Sent by some SDKs in place of `timestamp`."""
    sent_at: str | None = None
    anonymous_id: str | None = None
    properties: Raw = ABSENT
    traits: Raw = ABSENT
    context: Raw = ABSENT
    integrations: Raw = ABSENT


class _MessageId(msgspec.Struct, rename="camel"):
    message_id: Raw = Raw(b"null")


_members: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_message_id = msgspec.json.Decoder(_MessageId)
_strict = msgspec.json.Decoder(Raw)
_text: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)


def read_item(content: bytes, *, item_type: ItemType | None, limit_bytes: int) -> WireItem:
    """Return the item in *content*; raise `ValidationError` for the first rule that it breaks.

    *item_type* is the type given by the path, or None if the item has its own.
    """
    if len(content) > limit_bytes:
        raise too_large("The item", len(content), limit_bytes)
    members = _read_members(content)
    kind = item_type or _read_type(members)
    item = WireItem(
        type=kind,
        user_id=_read_id(members, "userId", Code.USER_ID_REQUIRED),
        message_id=_read_id(members, "messageId"),
        sent_at=read_text(members, "sentAt"),
        anonymous_id=_without_nul(read_text(members, "anonymousId"), "anonymousId"),
        context=read_object(members, "context"),
        integrations=read_object(members, "integrations"),
    )
    item.timestamp = _read_timestamp(members)
    if kind == "track":
        item.event = _read_id(members, "event", Code.EVENT_REQUIRED)
        item.properties = read_object(members, "properties")
    else:
        item.traits = read_object(members, "traits")
    _check_values(members)
    return item


def read_text(members: dict[str, Raw], name: str) -> str | None:
    """Return the string field *name*, or None if it is missing or null."""
    if name not in members:
        return None
    try:
        return _text.decode(members[name])
    except msgspec.ValidationError:
        raise ValidationError(Code.INVALID_TYPE, f"`{name}` must be a string.", name) from None
    except (msgspec.DecodeError, RecursionError):
        raise _diagnose(bytes(members[name]), name) from None


def read_object(members: dict[str, Raw], name: str) -> Raw:
    """Return the object field *name* as raw JSON, or `ABSENT` if it is missing or null."""
    value = members.get(name, ABSENT)
    first = bytes(value)[:1]
    if first in {b"", b"n"}:
        return ABSENT
    if first != b"{":
        raise ValidationError(Code.INVALID_TYPE, f"`{name}` must be an object.", name)
    return value


def check_object(members: dict[str, Raw], name: str) -> Raw:
    """Return the object field *name* as `read_object` does, with its content checked."""
    value = read_object(members, name)
    if value is not ABSENT:
        try:
            _strict.decode(value)
        except (msgspec.DecodeError, RecursionError):
            raise _diagnose(bytes(value), name) from None
        fault = _find_fault(bytes(value), MAX_DEPTH, name)
        if fault is not None:
            raise fault
    return value


def too_large(what: str, size_bytes: int, limit_bytes: int) -> ValidationError:
    """Return the error for an item of *size_bytes*; *what* is the subject of its message."""
    message = f"{what} has {size_bytes} bytes; the limit is {limit_bytes} (SEQUENCE_GATEWAY_ITEM_LIMIT_BYTES)."
    return ValidationError(Code.ITEM_TOO_LARGE, message)


def find_message_id(content: bytes, *, limit_bytes: int) -> str | None:
    """Return the `messageId` of a rejected item, or None if it has no valid one.

    Text that only a lenient parser reads is searched up to *limit_bytes*: that parser builds every value in memory.
    """
    if exceeds_parser(content):
        return None
    try:
        message_id = _text.decode(_message_id.decode(content).message_id)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError:
        message_id = _find_leniently(content) if len(content) <= limit_bytes else None
    if message_id is None or not 0 < len(message_id) <= MAX_ID_CHARACTERS:
        return None
    return message_id if message_id.isprintable() else None


def _find_leniently(content: bytes) -> str | None:
    try:
        item = json.loads(content, parse_int=float)
    except ValueError:
        return None
    message_id = item.get("messageId") if isinstance(item, dict) else None
    return message_id if isinstance(message_id, str) else None


_FIELDS = frozenset(WireItem.__struct_encode_fields__)


def _read_members(content: bytes) -> dict[str, Raw]:
    if exceeds_parser(content):
        raise _too_deep(None)
    try:
        return _members.decode(content)
    except msgspec.ValidationError:
        raise ValidationError(Code.INVALID_ITEM) from None
    except msgspec.DecodeError:
        raise _diagnose(content, None) from None


def _read_type(members: dict[str, Raw]) -> ItemType:
    match read_text(members, "type"):
        case None:
            raise ValidationError(Code.TYPE_REQUIRED, field="type")
        case "track":
            return "track"
        case "identify":
            return "identify"
        case _:
            raise ValidationError(Code.UNSUPPORTED_TYPE, field="type")


def _read_id(members: dict[str, Raw], name: str, required: Code | None = None) -> str | None:
    text = read_text(members, name)
    if text is None and required is None:
        return None
    if not text or text.isspace():
        message = "" if required else f"`{name}` must not be blank."
        raise ValidationError(required or Code.BLANK, message, name)
    if len(text) > MAX_ID_CHARACTERS:
        raise ValidationError(
            Code.TOO_LONG, f"`{name}` has {len(text)} characters; the limit is {MAX_ID_CHARACTERS}.", name
        )
    return _without_nul(text, name)


def _without_nul(text: str | None, name: str) -> str | None:
    if text is not None and "\0" in text:
        raise ValidationError(Code.INVALID_CHARACTER, f"`{name}` must not contain the character U+0000.", name)
    return text


def _read_timestamp(members: dict[str, Raw]) -> str | None:
    for name in ("timestamp", "originalTimestamp"):
        try:
            text = read_text(members, name)
            if text is not None:
                parse_time(text)
                return text
        except ValueError:
            message = f"`{name}` must be an ISO 8601 date or date-time between 1970 and 2261."
            raise ValidationError(Code.INVALID_TIMESTAMP, message, name) from None
    return None


def _check_values(members: dict[str, Raw]) -> None:
    """Raise the error of a value that breaks a rule. All values are searched at once; on a fault, each field is."""
    fault = _find_fault(b"[" + b",".join(members.values()) + b"]", ITEM_DEPTH, None)
    if fault is not None:
        named = (_find_fault(bytes(value), MAX_DEPTH, name) for name, value in members.items() if name in _FIELDS)
        raise next(filter(None, named), fault)


def _find_fault(value: bytes, max_depth: int, name: str | None) -> ValidationError | None:
    """Return the error of JSON text that nests too deep or has a number out of range, otherwise None."""
    outside = without_strings(value)
    if nests_deeper(outside, max_depth):
        return _too_deep(name)
    if not may_have_large_number(outside):
        return None
    if has_large_integer(outside):
        message = "Integers must fit in 64 bits. Send larger ones as strings."
    elif has_large_float(outside):
        message = "Numbers must be finite in double precision."
    else:
        return None
    return ValidationError(Code.INVALID_NUMBER, message, name)


def _diagnose(value: bytes, name: str | None) -> ValidationError:
    """Return why the strict decoder rejects *value*, which `gateway.ingest.lenient_json` has accepted."""
    if (fault := _find_fault(value, ITEM_DEPTH, name)) is not None:
        return fault
    if (constant := _CONSTANT.search(without_strings(value))) is not None:
        message = f"{constant[0].decode()} is not a JSON number. Send null instead."
        return ValidationError(Code.INVALID_NUMBER, message, name)
    return ValidationError(Code.INVALID_UNICODE, field=name)


def _too_deep(name: str | None) -> ValidationError:
    return ValidationError(Code.TOO_DEEP, f"Values must not nest deeper than {MAX_DEPTH} levels.", name)
