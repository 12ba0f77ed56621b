"""Objects: PHP encodes an empty map as `[]`."""

from __future__ import annotations

import re

from msgspec import Raw

_EMPTY_ARRAY = re.compile(rb"\[[ \t\r\n]*+\]")


def is_empty_array(value: Raw) -> bool:
    """Return whether the JSON text *value* is an empty array."""
    return _EMPTY_ARRAY.fullmatch(value) is not None
