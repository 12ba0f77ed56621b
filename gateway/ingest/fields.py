"""Reads the fields of an item, or those beside the items: what they must be, what is repaired, and the warnings."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from gateway.ingest.coerce.ids import decimal_text, is_number
from gateway.ingest.coerce.objects import is_empty_array
from gateway.ingest.coerce.times import item_time, sent_time
from gateway.ingest.coerce.values import quote_large_numbers, repair_json
from gateway.ingest.json_checks import mask_strings, may_have_large_number, nests_deeper, without_strings
from gateway.ingest.rejections import Code, ValidationError
from schemas.items import EMPTY_OBJECT, MAX_ID_CHARACTERS, ItemWarning, WarningCode
from schemas.times import format_time

MAX_DEPTH = 32
"""Maximum nesting of objects and arrays in the value of a field."""
ABSENT = Raw()
"""Value of an object field that is missing or null."""
_NULL = Raw(b"null")

_text: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(str | None)


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
        return checked_id(self._id_text(name), name, required)

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
                return EMPTY_OBJECT
            case b"{":
                return self._quoted(value, name)
            case _:
                raise ValidationError(Code.INVALID_TYPE, f"`{name}` must be an object.", name)

    def batch_object(self, name: str) -> Raw:
        """Return the object field *name* beside the items; one that is no object is left out with a warning."""
        value = self._members[name]
        try:
            if nests_deeper(without_strings(bytes(value)), MAX_DEPTH):
                raise too_deep(name)
            strict, warnings = repair_json(bytes(value), mask_strings(bytes(value)), name)
            self._members[name] = Raw(strict)
            self.warnings += warnings
            return self.object(name)
        except ValidationError:
            self.warnings.append(ItemWarning(WarningCode.FIELD_IGNORED, name))
            return ABSENT

    def _quoted(self, value: Raw, name: str) -> Raw:
        masked = mask_strings(bytes(value))
        if not may_have_large_number(masked):
            return value
        quoted, warnings = quote_large_numbers(bytes(value), masked, name)
        self.warnings += warnings
        return Raw(quoted)

    def _id_text(self, name: str) -> str | None:
        value = self._members.get(name)
        if value is None or not is_number(value):
            return self.text(name)
        number = decimal_text(value)
        if number is None:
            # Several texts would be right.
            message = f"`{name}` must be a string or an integer. Send other numbers as strings."
            raise ValidationError(Code.INVALID_TYPE, message, name)
        self.warnings.append(ItemWarning(WarningCode.NUMBER_AS_ID, name))
        return number


def checked_id(text: str | None, name: str, required: Code | None) -> str | None:
    """Return *text*, the ID or name *name*; *required* is the error if it is missing."""
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


def too_deep(name: str | None) -> ValidationError:
    """Return the error of a value that nests too deep, in the field *name* or in several."""
    return ValidationError(Code.TOO_DEEP, f"Values must not nest deeper than {MAX_DEPTH} levels.", name)
