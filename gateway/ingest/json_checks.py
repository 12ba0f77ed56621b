"""Checks of JSON text without parsing it: nesting depth, range of numbers, U+0000.

`passes_quick_checks` has no false positives: True proves that the rules hold, False means that the text needs the
exact rules. It searches translated copies of the text, which takes a tenth of the time of a regular expression.

Every check takes time in proportion to the length of the text, whatever the text holds: a sender must not be able to
occupy the event loop. Loops in Python have a budget; all other work is done by functions in C.
"""

from __future__ import annotations

import re
from itertools import accumulate

PARSER_DEPTH = 500
"""Nesting up to which a text is parsed. The recursion limits of Python's and msgspec's parsers are higher."""

_TO_ROUND = bytes.maketrans(b"[]{}", b"()()")
_TO_STEPS = bytes.maketrans(b"[]{}()", b"\x01\xff\x01\xff\x01\xff")
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ALL_BUT_BRACKETS_AND_QUOTES = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_TO_STEPS_OR_ZERO = bytes(_TO_STEPS[byte] if byte in b"[]{}" else 0 for byte in range(256))
_MOST_BRACKETS = 1024
_FEWEST_BYTES_PER_BRACKET = 8
_LEVELS_OF_MANY_BRACKETS = 4
"""Levels that the quick check removes from text with more brackets than usual, which takes a step for each of them."""
_RUN = 4
_RUN_OF_OPEN, _RUN_OF_CLOSE = b"\x04", b"\xfc"
"""A run of brackets as one step, in the complement on two."""

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
_WHOLE_LONG_EXPONENT = re.compile(rb"0e0000*+,")
_BYTES_PER_EXPONENT = 128
"""Text that pays for one step of the search for whole exponents. Text of UUIDs needs fewer steps."""


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
        text = _without_escapes(text)
    marks = text.translate(_TO_ROUND, _ALL_BUT_BRACKETS_AND_QUOTES)
    brackets = marks.translate(None, b'"')
    quotes = len(marks) - len(brackets)
    return (
        2 * marks.count(b'""') == quotes
        and _certainly_nests_within(brackets, max_depth, len(text))
        and _has_small_numbers(text)
    )


def is_deeper(text: bytes, max_depth: int) -> bool:
    """Return whether JSON *text* nests deeper than *max_depth*, exactly."""
    return nests_deeper(without_strings(text), max_depth)


def exceeds_parser(text: bytes) -> bool:
    """Return whether JSON *text* nests deeper than `PARSER_DEPTH`, exactly.

    Whether a parser accepts such a text depends on the version of Python, so callers reject it before they parse it.
    """
    return text.count(b"[") + text.count(b"{") > PARSER_DEPTH and is_deeper(text, PARSER_DEPTH)


def without_strings(text: bytes) -> bytes:
    """Return JSON *text* without its strings."""
    return b"".join(_without_escapes(text).split(b'"')[::2])


def mask_strings(text: bytes) -> bytes:
    """Return JSON *text* with the content of its strings replaced by zero bytes, at the same places."""
    parts = text.replace(b"\\\\", b"  ").replace(b'\\"', b"  ").split(b'"')
    parts[1::2] = map(bytes, map(len, parts[1::2]))
    return b'"'.join(parts)


def nesting_steps(text: bytes) -> memoryview:
    """Return for each byte of JSON *text* 1 if it opens an array or object, -1 if it closes one, otherwise 0."""
    return memoryview(mask_strings(text).translate(_TO_STEPS_OR_ZERO)).cast("b")


def nests_deeper(outside: bytes, max_depth: int) -> bool:
    """Return whether JSON text nests deeper than *max_depth*, given its part *outside* strings."""
    brackets = outside.translate(_TO_ROUND, _ALL_BUT_BRACKETS)
    if not brackets:
        return max_depth < 0
    # Steps are counted one by one, so the innermost level is removed and runs become one step. Both keep the depth.
    steps = brackets.replace(b"()", b"").replace(_RUN * b"(", _RUN_OF_OPEN).replace(_RUN * b")", _RUN_OF_CLOSE)
    return 1 + max(accumulate(memoryview(steps.translate(_TO_STEPS)).cast("b")), default=0) > max_depth


def may_have_large_number(outside: bytes) -> bool:
    """Return whether JSON text may have a number beyond 64 bits or a double, given its part *outside* strings.

    False is certain.
    """
    return not _has_small_numbers(outside)


def _without_escapes(text: bytes) -> bytes:
    """Return *text* without escaped backslashes and escaped quotes: every quote left begins or ends a string."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text


def _certainly_nests_within(brackets: bytes, max_depth: int, text_bytes: int) -> bool:
    """Return whether *brackets* are gone after the innermost pairs are removed *max_depth* times.

    False as well if they are so many in *text_bytes* that this takes too many steps.
    """
    if len(brackets) > _MOST_BRACKETS and _FEWEST_BYTES_PER_BRACKET * len(brackets) > text_bytes:
        max_depth = min(max_depth, _LEVELS_OF_MANY_BRACKETS)
    for _ in range(max_depth):
        if not brackets:
            return True
        brackets = brackets.replace(b"()", b"")
    return not brackets


def _has_small_numbers(text: bytes) -> bool:
    classes = text.translate(_NUMBER_CLASSES, b"+")
    if _TOO_MANY_DIGITS in classes:
        return False
    at = classes.find(_LONG_EXPONENT)
    if at < 0:
        return True
    budget = len(text) // _BYTES_PER_EXPONENT
    while at >= 0:
        # One UUID in four contains such digits, but there they continue instead of ending like a number.
        if _WHOLE_LONG_EXPONENT.match(classes, at):
            return False
        if budget == 0:
            return _WHOLE_LONG_EXPONENT.search(classes, at) is None
        budget -= 1
        at = classes.find(_LONG_EXPONENT, at + 1)
    return True
