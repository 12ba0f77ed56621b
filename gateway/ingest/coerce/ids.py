"""IDs: numbers become their decimal text, and a `userId` that names nobody is reported."""

from __future__ import annotations

import re

from msgspec import Raw

from schemas.items import MAX_ID_CHARACTERS, ItemWarning, WarningCode

_NUMBER = re.compile(rb"-?[0-9]")
_INTEGER = re.compile(rb"-?[0-9]+")

_PLACEHOLDERS = ("undefined", "null", "none", "nan", "nil", "true", "false", "(null)", "<null>", "[object object]")
_SUSPICIOUS = frozenset(
    spelled
    for text in (*_PLACEHOLDERS, "[object Object]", "NaN")
    for spelled in (text, text.upper(), text.capitalize())
)


def is_number(value: Raw) -> bool:
    """Return whether the JSON text *value* is a number."""
    return _NUMBER.match(value) is not None


def decimal_text(value: Raw) -> str | None:
    """Return the text of the integer *value*; None for a number with a fraction or an exponent."""
    return bytes(value).decode() if _INTEGER.fullmatch(value) is not None else None


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
