"""The rules of an item, exact and one by one: what decides wherever the fast reading of `gateway.ingest.validate` does not.

Every rule of the contract stands here, in the order in which a caller hears of them. An item that breaks none is
returned as it was read, never re-written.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Raw

from gateway.ingest.json_checks import is_deeper
from gateway.ingest.rejections import Code, FaultError
from schemas.items import MAX_ID_CHARACTERS
from schemas.times import parse_time

ItemType = Literal["track", "identify"]

DEEPEST = 32
"""Levels of objects and arrays in a value."""
ITEM_LEVELS = DEEPEST + 1
"""The item's own object holds the values."""
ABSENT = Raw()
"""A field that an item does not have."""

_SMALLEST_INTEGER = -(2**63)
_LARGEST_INTEGER = 2**64 - 1


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]


class WireItem(msgspec.Struct, rename="camel", gc=False):
    """An item as it is sent; decoding tests the types and the lengths of its texts, and nothing else."""

    type: ItemType | None = None
    user_id: Name | None = None
    event: Name | None = None
    message_id: Name | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    """What some SDKs send in place of `timestamp`."""
    sent_at: str | None = None
    anonymous_id: str | None = None
    properties: Raw = ABSENT
    traits: Raw = ABSENT
    context: Raw = ABSENT
    integrations: Raw = ABSENT


_members: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_text: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)


def read_item(content: bytes, *, item_type: ItemType | None, limit_bytes: int) -> WireItem:
    """Return the item that *content* is; `FaultError` names the first rule that it breaks.

    *item_type* is the type that the path gives, None where the item gives its own.
    """
    if len(content) > limit_bytes:
        raise FaultError(Code.ITEM_TOO_LARGE, f"The item has {len(content)} bytes; {limit_bytes} are allowed.")
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
    for name, value in members.items():
        _check_value(bytes(value), name if name in _FIELDS else None)
    return item


def read_text(members: dict[str, Raw], name: str) -> str | None:
    """Return the text of the member *name*, None where it is missing or null."""
    if name not in members:
        return None
    try:
        return _text.decode(members[name])
    except msgspec.ValidationError:
        raise FaultError(Code.INVALID_TYPE, f"`{name}` must be text.", name) from None
    except (msgspec.DecodeError, RecursionError):
        raise _diagnose(bytes(members[name]), name) from None


def read_object(members: dict[str, Raw], name: str) -> Raw:
    """Return the object that the member *name* is, `ABSENT` where it is missing or null."""
    value = members.get(name, ABSENT)
    first = bytes(value)[:1]
    if first in {b"", b"n"}:
        return ABSENT
    if first != b"{":
        raise FaultError(Code.INVALID_TYPE, f"`{name}` must be an object.", name)
    return value


def check_object(members: dict[str, Raw], name: str) -> Raw:
    """Return what `read_object` does, after every rule for its values."""
    value = read_object(members, name)
    if value is not ABSENT:
        try:
            _members.decode(value)
        except (msgspec.DecodeError, RecursionError):
            raise _diagnose(bytes(value), name) from None
        _check_value(bytes(value), name)
    return value


def find_message_id(content: bytes) -> str | None:
    """Return the messageId of an item that is refused, None where it has none that could stand for it."""
    try:
        item = json.loads(content)
    except (ValueError, RecursionError):
        return None
    message_id = item.get("messageId") if isinstance(item, dict) else None
    if not isinstance(message_id, str) or not 0 < len(message_id) <= MAX_ID_CHARACTERS:
        return None
    return message_id if message_id.isprintable() else None


_FIELDS = frozenset(WireItem.__struct_encode_fields__)


def _read_members(content: bytes) -> dict[str, Raw]:
    try:
        return _members.decode(content)
    except msgspec.ValidationError:
        raise FaultError(Code.INVALID_ITEM) from None
    except (msgspec.DecodeError, RecursionError):
        raise _diagnose(content, None) from None


def _read_type(members: dict[str, Raw]) -> ItemType:
    match read_text(members, "type"):
        case None:
            raise FaultError(Code.TYPE_REQUIRED, field="type")
        case "track":
            return "track"
        case "identify":
            return "identify"
        case _:
            raise FaultError(Code.UNSUPPORTED_TYPE, field="type")


def _read_id(members: dict[str, Raw], name: str, required: Code | None = None) -> str | None:
    text = read_text(members, name)
    if text is None and required is None:
        return None
    if not text or text.isspace():
        raise FaultError(required or Code.BLANK, field=name)
    if len(text) > MAX_ID_CHARACTERS:
        raise FaultError(Code.TOO_LONG, f"`{name}` has {len(text)} characters; {MAX_ID_CHARACTERS} are allowed.", name)
    return _without_nul(text, name)


def _without_nul(text: str | None, name: str) -> str | None:
    if text is not None and "\0" in text:
        raise FaultError(Code.INVALID_CHARACTER, field=name)
    return text


def _read_timestamp(members: dict[str, Raw]) -> str | None:
    for name in ("timestamp", "originalTimestamp"):
        try:
            text = read_text(members, name)
            if text is not None:
                parse_time(text)
                return text
        except ValueError:
            raise FaultError(Code.INVALID_TIMESTAMP, field=name) from None
    return None


def _check_value(value: bytes, name: str | None) -> None:
    if is_deeper(value, DEEPEST):
        raise FaultError(Code.TOO_DEEP, f"Values may be nested {DEEPEST} levels deep.", name)
    _check_numbers(value, name)


def _check_numbers(value: bytes, name: str | None) -> None:
    def check_integer(digits: str) -> None:
        # Longer ones are not even converted: the time for that grows with the square of the length.
        if len(digits) > 20 or not _SMALLEST_INTEGER <= int(digits) <= _LARGEST_INTEGER:
            raise FaultError(Code.INVALID_NUMBER, "Integers must fit 64 bits.", name)

    def check_float(digits: str) -> None:
        if math.isinf(float(digits)):
            raise FaultError(Code.INVALID_NUMBER, "The number is too large.", name)

    def refuse(constant: str) -> Any:
        raise FaultError(Code.INVALID_NUMBER, f"{constant} is not a JSON number.", name)

    json.loads(value, parse_int=check_integer, parse_float=check_float, parse_constant=refuse)


def _diagnose(value: bytes, name: str | None) -> FaultError:
    """Return why the strict decoder does not take *value*."""
    if is_deeper(value, ITEM_LEVELS):
        return FaultError(Code.TOO_DEEP, f"Values may be nested {DEEPEST} levels deep.", name)
    try:
        _check_numbers(value, name)
    except FaultError as fault:
        return fault
    except json.JSONDecodeError:
        return FaultError(Code.INVALID_JSON, "The item is not JSON.", name)
    return FaultError(Code.INVALID_UNICODE, field=name)
