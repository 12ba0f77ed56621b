"""The rules of an item: the slow path, which decides where the fast path in `gateway.ingest.validate` is not certain.

The order of the checks decides which error is reported. `gateway.ingest.coerce` repairs what has a clear meaning. Items
are returned as decoded, with their objects as raw JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Raw

from gateway.ingest.coerce.ids import decimal_text, suspicion
from gateway.ingest.coerce.objects import is_empty_array
from gateway.ingest.coerce.times import item_time, sent_time
from gateway.ingest.coerce.values import quote_large_numbers, repair_json
from gateway.ingest.json_checks import exceeds_parser, nests_deeper, without_strings
from gateway.ingest.rejections import Code, ValidationError
from schemas.items import MAX_ID_CHARACTERS, ItemWarning, WarningCode
from schemas.times import format_time

ItemType = Literal["track", "identify"]
PathType = Literal["track", "identify", "page", "screen", "group", "alias"]
"""Type that the path of a single item gives."""
_NOT_STORED = frozenset({"page", "screen", "group", "alias"})
"""Types of Segment's specification that are not stored."""

MAX_DEPTH = 32
"""Maximum nesting of objects and arrays in the value of a field."""
ITEM_DEPTH = MAX_DEPTH + 1
"""The item's own object contains the values."""
ABSENT = Raw()
"""Value of an object field that is missing or null."""
_NULL = Raw(b"null")

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
_EMPTY_OBJECT = Raw(b"{}")


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
    members, warnings = _read_members(content)
    fields = Fields(members, warnings)
    kind = _stored_type(item_type or fields.text("type"))
    item = WireItem(
        type=kind,
        user_id=fields.id("userId", Code.USER_ID_REQUIRED),
        message_id=fields.id("messageId"),
        anonymous_id=fields.anonymous_id(),
    )
    if kind == "track":
        item.event = _checked_id(fields.text("event"), "event", Code.EVENT_REQUIRED)
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


class Fields:
    """Reads the fields of an item, or those beside the items, and collects the warnings about them."""

    def __init__(self, members: dict[str, Raw], warnings: Sequence[ItemWarning] = ()) -> None:
        self._members = members
        self.warnings = list(warnings)

    def text(self, name: str) -> str | None:
        """Return the string field *name*, or None if it is missing or null."""
        value = self._members.get(name)
        if value is None:
            return None
        try:
            return _text.decode(value)
        except msgspec.ValidationError:
            raise ValidationError(Code.INVALID_TYPE, f"`{name}` must be a string.", name) from None
        except msgspec.DecodeError:
            raise ValidationError(Code.INVALID_UNICODE, field=name) from None

    def id(self, name: str, required: Code | None = None) -> str | None:
        """Return the ID *name*, None if it is missing; *required* is the error then."""
        return _checked_id(self._id_text(name), name, required)

    def anonymous_id(self) -> str | None:
        """Return `anonymousId`, which may have any length."""
        return _without_nul(self._id_text("anonymousId"), "anonymousId")

    def timestamp(self) -> str | None:
        """Return the item's time in the fixed form, None if it is to have the time of receipt."""
        for name in ("timestamp", "originalTimestamp"):
            value = self._members.get(name, _NULL)
            if value != _NULL:
                time, warnings = item_time(value, name)
                self.warnings += warnings
                return None if time is None else format_time(time)
        return None

    def sent_at(self) -> str | None:
        """Return `sentAt` in the fixed form, None if it is missing or, with a warning, if it corrects no clock."""
        value = self._members.get("sentAt", _NULL)
        if value == _NULL:
            return None
        time, warnings = sent_time(value)
        self.warnings += warnings
        return None if time is None else format_time(time)

    def object(self, name: str) -> Raw:
        """Return the object field *name* as raw JSON, or `ABSENT` if it is missing or null."""
        value = self._members.get(name, ABSENT)
        match bytes(value)[:1]:
            case b"" | b"n":
                return ABSENT
            case b"[" if is_empty_array(value):
                self.warnings.append(ItemWarning(WarningCode.EMPTY_ARRAY_AS_OBJECT, name))
                return _EMPTY_OBJECT
            case b"{":
                quoted, warnings = quote_large_numbers(bytes(value), name)
                self.warnings += warnings
                return Raw(quoted) if warnings else value
            case _:
                raise ValidationError(Code.INVALID_TYPE, f"`{name}` must be an object.", name)

    def batch_object(self, name: str) -> Raw:
        """Return the object field *name* beside the items; one that is no object is left out with a warning."""
        value = self._members[name]
        try:
            if nests_deeper(without_strings(bytes(value)), MAX_DEPTH):
                raise _too_deep(name)
            strict, warnings = repair_json(bytes(value), name)
            self._members[name] = Raw(strict)
            self.warnings += warnings
            return self.object(name)
        except ValidationError:
            self.warnings.append(ItemWarning(WarningCode.FIELD_IGNORED, name))
            return ABSENT

    def _id_text(self, name: str) -> str | None:
        value = self._members.get(name)
        number = None if value is None else decimal_text(value, name)
        if number is None:
            return self.text(name)
        self.warnings.append(ItemWarning(WarningCode.NUMBER_AS_ID, name))
        return number


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
_PATH = re.compile(rf"\.(?:{'|'.join(_FIELDS)})(?:[.\[]|$)")
"""A path in a field that is stored."""


def _read_members(content: bytes) -> tuple[dict[str, Raw], list[ItemWarning]]:
    """Return the members of an item as strict JSON, and the warnings about those that are stored."""
    if exceeds_parser(content):
        raise _too_deep(None)
    warnings: list[ItemWarning] = []
    if not _is_strict(content):
        content, warnings = repair_json(content, "")
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


def _checked_id(text: str | None, name: str, required: Code | None) -> str | None:
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


def _check_depth(members: dict[str, Raw]) -> None:
    """Raise the error of a value that nests too deep. All values are searched at once; on a fault, each field is."""
    if nests_deeper(without_strings(b"[" + b",".join(members.values()) + b"]"), ITEM_DEPTH):
        for name, value in members.items():
            if name in _FIELDS and nests_deeper(without_strings(bytes(value)), MAX_DEPTH):
                raise _too_deep(name)
        raise _too_deep(None)


def _too_deep(name: str | None) -> ValidationError:
    return ValidationError(Code.TOO_DEEP, f"Values must not nest deeper than {MAX_DEPTH} levels.", name)
