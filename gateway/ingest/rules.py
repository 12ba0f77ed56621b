"""The rules of an item: the slow path, which decides where the fast path in `gateway.ingest.validate` is not certain.

The order of the checks decides which error is reported. `gateway.ingest.coerce` repairs what has a clear meaning. Items
are returned as decoded, with their objects as raw JSON.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Raw

from gateway.ingest.coerce.ids import suspicion
from gateway.ingest.coerce.values import repair_json
from gateway.ingest.fields import ABSENT, MAX_DEPTH, Fields, checked_id, too_deep
from gateway.ingest.json_checks import exceeds_parser, mask_strings, nests_deeper, without_strings
from gateway.ingest.rejections import Code, ValidationError
from schemas.items import MAX_ID_CHARACTERS, ItemWarning

ItemType = Literal["track", "identify"]
PathType = Literal["track", "identify", "page", "screen", "group", "alias"]
"""Type that the path of a single item gives."""
_NOT_STORED = frozenset({"page", "screen", "group", "alias"})
"""Types of Segment's specification that are not stored."""

ITEM_DEPTH = MAX_DEPTH + 1
"""The item's own object contains the values."""
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


class ReadItem(msgspec.Struct, gc=False):
    """An item that keeps the rules, with what was changed for that."""

    wire: WireItem
    members: dict[str, Raw]
    """Its members, as strict JSON."""
    warnings: list[ItemWarning]


def read_item(content: bytes, *, item_type: PathType | None, limit_bytes: int) -> ReadItem:
    """Return the item in *content*, repaired; raise `ValidationError` for the first rule that it breaks.

    *item_type* is the type given by the path, or None if the item has its own.
    """
    if len(content) > limit_bytes:
        raise too_large("The item", len(content), limit_bytes)
    members, warnings = read_members(content)
    fields = Fields(members, warnings)
    kind = _stored_type(item_type or fields.text("type"))
    item = WireItem(
        type=kind,
        user_id=fields.id("userId", Code.USER_ID_REQUIRED),
        message_id=fields.id("messageId"),
        anonymous_id=fields.anonymous_id(),
    )
    if kind == "track":
        item.event = checked_id(fields.text("event"), "event", Code.EVENT_REQUIRED)
    item.timestamp, item.sent_at = fields.timestamp(), fields.sent_at()
    _check_depth(members)
    item.context, item.integrations = fields.object("context"), fields.object("integrations")
    if kind == "track":
        item.properties = fields.object("properties")
    else:
        item.traits = fields.object("traits")
    if item.user_id is not None:
        fields.warnings += suspicion(item.user_id)
    return ReadItem(item, members, fields.warnings)


def too_large(what: str, size_bytes: int, limit_bytes: int) -> ValidationError:
    """Return the error for an item of *size_bytes*; *what* is the subject of its message."""
    message = f"{what} has {size_bytes} bytes; the limit is {limit_bytes}."
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
_PATH = re.compile(rf"\.(?:{'|'.join(_FIELDS)})(?:[.\[]|$)")
"""A path in a field that is stored."""


def read_members(content: bytes) -> tuple[dict[str, Raw], list[ItemWarning]]:
    """Return the members of an item as strict JSON, and the warnings about those that are stored."""
    if exceeds_parser(content):
        raise too_deep(None)
    warnings: list[ItemWarning] = []
    if not _is_strict(content):
        content, warnings = repair_json(content, mask_strings(content), "")
    try:
        members = _members.decode(content)
    except msgspec.ValidationError:
        raise ValidationError(Code.INVALID_ITEM) from None
    return members, [ItemWarning(each.code, each.field[1:]) for each in warnings if _PATH.match(each.field)]


def _is_strict(content: bytes) -> bool:
    try:
        _strict.decode(content)
    except msgspec.DecodeError:
        return False
    return True


def _stored_type(text: str | None) -> ItemType:
    """Return *text* if it is a type that is stored; raise `ValidationError` otherwise."""
    match text:
        case "track" | "identify":
            return text
        case None:
            raise ValidationError(Code.TYPE_REQUIRED, field="type")
        case _ if text in _NOT_STORED:
            raise ValidationError(Code.UNSUPPORTED_TYPE, field="type")
        case _:
            raise ValidationError(Code.UNKNOWN_TYPE, field="type")


def _check_depth(members: dict[str, Raw]) -> None:
    """Raise the error of a value that nests too deep. All values are searched at once; on a fault, each field is."""
    if nests_deeper(without_strings(b"[" + b",".join(members.values()) + b"]"), ITEM_DEPTH):
        for name, value in members.items():
            if name in _FIELDS and nests_deeper(without_strings(bytes(value)), MAX_DEPTH):
                raise too_deep(name)
        raise too_deep(None)
