"""Names the place of a value in JSON text by its path, such as `properties.lines[2].price`."""

from __future__ import annotations

import json.decoder
import re
from collections.abc import Callable
from operator import methodcaller

MOST_LEVELS = 8
"""Levels of a path. A value that nests deeper has the path of the object or array around it."""
MAX_CHARACTERS = 255

# In strings, bytes that JSON text never has stand for those that have a meaning outside.
_BACKSLASH, _QUOTE = b"\x01\x01", b"\x02\x02"
_IN_STRINGS = bytes.maketrans(b"[]{},:", b"\x03\x04\x05\x06\x07\x08")
_IN_TEXT = bytes.maketrans(b"\x03\x04\x05\x06\x07\x08", b"[]{},:")
_read_string: Callable[[str, int], tuple[str, int]] = json.decoder.scanstring  # type: ignore[attr-defined]
"""Return the string that begins behind its quote at a place, and its end."""
_CLOSED = re.compile(rb"[{\[][^{}\[\]]*+[}\]]")
_OPEN = re.compile(rb"([{\[])")


def path_of(text: bytes, place: int, field: str) -> str:
    """Return the path of the value at *place* in the JSON *text* of *field*, at most `MAX_CHARACTERS` long.

    The path of a place in the name of a member is that of the object.
    """
    parts = text[:place].replace(b"\\\\", _BACKSLASH).replace(b'\\"', _QUOTE).split(b'"')
    if len(parts) % 2 == 0:
        parts.pop()  # The place is in a string, which begins at the end of the text that counts.
    parts[1::2] = map(methodcaller("translate", _IN_STRINGS), parts[1::2])
    before = b'"'.join(parts)
    while (shorter := _CLOSED.sub(b"0", before)) != before:
        before = shorter
    path = field
    levels = _OPEN.split(before)[1:]
    for bracket, members in zip(levels[: 2 * MOST_LEVELS : 2], levels[1::2], strict=False):
        if bracket == b"[":
            path += f"[{members.count(b',')}]"
        elif members.rstrip().endswith(b":"):
            path += "." + _name(members.rsplit(b'"', 2)[1])
    return path[:MAX_CHARACTERS]


def _name(text: bytes) -> str:
    """Return the name of a member. Half a surrogate pair in it is shown as U+FFFD."""
    quoted = text.translate(_IN_TEXT).replace(_QUOTE, b'\\"').replace(_BACKSLASH, b"\\\\") + b'"'
    return _read_string(quoted.decode(), 0)[0].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
