"""What can be told of JSON without parsing it: how deep it nests, and whether its numbers surely fit.

`passes_quick_checks` is sufficient, not exact: True is a promise, False only means that somebody has to look. It searches in
translated copies of the text, which takes a tenth of the time of a regular expression over the text itself.
"""

from __future__ import annotations

import re

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_ROUND = bytes.maketrans(b"[]{}", b"()()")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NO_MARKS = bytes(byte for byte in range(256) if byte not in b'[]{}"')

_NUMBERS = bytes(
    ord("0")
    if byte in b"0123456789"
    else ord("e")
    if byte in b"eE"
    else ord(",")
    if byte in b",]} \t\r\n"
    else ord("x")
    for byte in range(256)
)
"""What each byte is to a number: a digit, an exponent's letter, what may follow it, or none of these."""
_LONG_RUN = b"0" * 19
_EXPONENT = b"0e000"
_ENDED_EXPONENT = re.compile(rb"0e0+,")


def passes_quick_checks(text: bytes, levels: int) -> bool:
    """Return whether *text* surely nests within *levels*, has no number out of range and no escaped U+0000."""
    if b"\\" in text:
        if b"\\u0000" in text:
            return False
        # Without escaped quotes, and escaped backslashes before quotes, every quote begins or ends a string.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Of a string without brackets two quotes are left, side by side. The first one with a bracket leaves an odd number.
    marks = text.translate(_ROUND, _NO_MARKS)
    brackets = marks.translate(None, b'"')
    paired = 2 * marks.count(b'""') == len(marks) - len(brackets)
    return paired and _reduces(brackets, levels) and _numbers_fit(text)


def is_deeper(text: bytes, levels: int) -> bool:
    """Return whether JSON nests deeper than *levels*, exactly."""
    return not _reduces(_STRING.sub(b"", text).translate(_ROUND, _NO_BRACKETS), levels)


def _reduces(brackets: bytes, levels: int) -> bool:
    """Return whether nothing is left when the innermost brackets are taken away *levels* times."""
    for _ in range(levels):
        if not brackets:
            return True
        brackets = brackets.replace(b"()", b"")
    return not brackets


def _numbers_fit(text: bytes) -> bool:
    shape = text.translate(_NUMBERS, b"+")
    if _LONG_RUN in shape:
        return False
    at = shape.find(_EXPONENT)
    while at >= 0:
        # Three digits of an exponent without an end are the middle of a word: one in four UUIDs holds such.
        if _ENDED_EXPONENT.match(shape, at):
            return False
        at = shape.find(_EXPONENT, at + 1)
    return True
