"""IDs: numbers become their decimal text, and a `userId` that names nobody is reported."""

from __future__ import annotations

import re

from msgspec import Raw

from gateway.ingest.rejections import Code, ValidationError
from schemas.items import MAX_ID_CHARACTERS, ItemWarning, WarningCode

_NUMBER = re.compile(rb"-?[0-9]")
_INTEGER = re.compile(rb"-?[0-9]+")

_PLACEHOLDERS = ("undefined", "null", "none", "nan", "nil", "true", "false", "(null)", "<null>", "[object object]")
_SUSPICIOUS = frozenset(
    spelled
    for text in (*_PLACEHOLDERS, "[object Object]", "NaN")
    for spelled in (text, text.upper(), text.capitalize())
)


def decimal_text(value: Raw, name: str) -> str | None:
    """Return the text of the integer *value* of the ID *name*; None if it is no number.

    Raises `ValidationError` for a number with a fraction or an exponent: several texts would be right.
    """
    number = bytes(value)
    if _NUMBER.match(number) is None:
        return None
    if _INTEGER.fullmatch(number) is None:
        message = f"`{name}` must be a string or an integer. Send a number with a fraction or an exponent as a string."
        raise ValidationError(Code.INVALID_TYPE, message, name)
    return number.decode()


_BLANK = frozenset(" " * count for count in range(1, MAX_ID_CHARACTERS + 1))

is_unusual_text = (_SUSPICIOUS | _BLANK).__contains__
"""Return whether a `userId` of printable ASCII characters is blank or suspicious."""


def is_unusual(user_id: str) -> bool:
    """Return whether *user_id* is blank or suspicious."""
    return user_id.isspace() or is_suspicious(user_id)


def is_suspicious(user_id: str) -> bool:
    """Return whether *user_id* is what programs write for no value, or has invisible characters."""
    return user_id in _SUSPICIOUS or not user_id.isprintable()


def suspicion(user_id: str) -> list[ItemWarning]:
    """Return the warning about *user_id* if it is suspicious."""
    return [ItemWarning(WarningCode.SUSPICIOUS_USER_ID, "userId")] if is_suspicious(user_id) else []
