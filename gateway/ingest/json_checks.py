"""Checks of JSON text without parsing it: nesting depth, range of numbers, U+0000.

`passes_quick_checks` has no false positives: True proves that the rules hold, False means that the text needs the
exact rules. It searches translated copies of the text, which takes a tenth of the time of a regular expression.
"""

from __future__ import annotations

import re
from itertools import accumulate

PARSER_DEPTH = 500
"""Nesting up to which a text is parsed. The recursion limits of Python's and msgspec's parsers are higher."""
_FAST_LEVELS = 4

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_TO_ROUND = bytes.maketrans(b"[]{}", b"()()")
_OPEN = ord("(")
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ALL_BUT_BRACKETS_AND_QUOTES = bytes(byte for byte in range(256) if byte not in b'[]{}"')

_NUMBER_CLASSES = bytes(
    ord("0")
    if byte in b"0123456789"
    else ord("e")
    if byte in b"eE"
    else ord(",")
    if byte in b",]} \t\r\n"
    else ord("x")
    for byte in range(256)
)
"""Class of each byte within a number: `0` a digit, `e` an exponent, `,` an end of the number, `x` anything else."""
_TOO_MANY_DIGITS = b"0" * 19
"""Integers with fewer digits fit in 64 bits."""
_LONG_EXPONENT = b"0e000"
"""Numbers with a shorter exponent are finite, given that they have fewer than 19 digits."""
_WHOLE_LONG_EXPONENT = re.compile(rb"0e0+,")


def passes_quick_checks(text: bytes, max_depth: int) -> bool:
    """Return whether JSON *text* certainly nests at most *max_depth* deep, has valid numbers and no escaped U+0000.

    Brackets count only outside strings. Of the text, only brackets and quotes are kept, and `""` is counted in them:

        {"a":[1,"b"]}    keeps {""[""]}    4 quotes in 2 pairs: no string contains a bracket
        {"a":[1,"]"]}    keeps {""["]"]}   4 quotes but 1 pair: a string contains a bracket

    Strings without brackets become runs of an even number of quotes. The first string with a bracket puts an odd number
    of quotes before that bracket, so one quote is left without a partner and the count falls short.
    """
    if b"\\" in text:
        if b"\\u0000" in text:
            return False
        # Without escaped backslashes and escaped quotes, every quote begins or ends a string.
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = text.translate(_TO_ROUND, _ALL_BUT_BRACKETS_AND_QUOTES)
    brackets = marks.translate(None, b'"')
    quotes = len(marks) - len(brackets)
    return 2 * marks.count(b'""') == quotes and _nests_within(brackets, max_depth) and _has_valid_numbers(text)


def is_deeper(text: bytes, max_depth: int) -> bool:
    """Return whether JSON *text* nests deeper than *max_depth*, exactly."""
    return not _nests_within(_brackets(text), max_depth)


def exceeds_parser(text: bytes) -> bool:
    """Return whether JSON *text* nests deeper than `PARSER_DEPTH`, exactly.

    Whether a parser accepts such a text depends on the version of Python, so callers reject it before they parse it.
    """
    if text.count(b"[") + text.count(b"{") <= PARSER_DEPTH:
        return False
    brackets = _brackets(text)
    for _ in range(_FAST_LEVELS):
        brackets = brackets.replace(b"()", b"")
    steps = (1 if bracket == _OPEN else -1 for bracket in brackets)
    return any(depth > PARSER_DEPTH - _FAST_LEVELS for depth in accumulate(steps))


def _brackets(text: bytes) -> bytes:
    """Return the brackets of *text* outside strings, all of them round."""
    return _STRING.sub(b"", text).translate(_TO_ROUND, _ALL_BUT_BRACKETS)


def _nests_within(brackets: bytes, max_depth: int) -> bool:
    """Return whether *brackets* are gone after the innermost pairs are removed *max_depth* times."""
    for _ in range(max_depth):
        if not brackets:
            return True
        brackets = brackets.replace(b"()", b"")
    return not brackets


def _has_valid_numbers(text: bytes) -> bool:
    classes = text.translate(_NUMBER_CLASSES, b"+")
    if _TOO_MANY_DIGITS in classes:
        return False
    at = classes.find(_LONG_EXPONENT)
    while at >= 0:
        # One UUID in four contains such digits, but there they continue instead of ending like a number.
        if _WHOLE_LONG_EXPONENT.match(classes, at):
            return False
        at = classes.find(_LONG_EXPONENT, at + 1)
    return True
