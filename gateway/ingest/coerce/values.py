"""Values inside a field that the store cannot hold: large numbers, `NaN` and `Infinity`, unpaired surrogates.

Only the places at fault are rewritten; every other byte stays as sent. All work that grows with the text is done by
functions in C, so that no text takes long.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import chain, compress, repeat, zip_longest
from operator import itemgetter, methodcaller

from gateway.ingest.coerce.paths import path_of
from schemas.items import ItemWarning, WarningCode

MOST_PLACES = 3
"""Places of a field that are named by their paths. If there are more, a warning names the field alone."""

_NUMBER = rb"(?<![0-9.eE+-])"
"""Before a number, which it does not cut in two."""


def _greater(number: int) -> bytes:
    """Return the pattern of the integers with as many digits as *number* that are greater."""
    digits = str(number)
    greater = (
        f"{digits[:at]}[{int(digit) + 1}-9][0-9]{{{len(digits) - at - 1}}}"
        for at, digit in enumerate(digits)
        if digit != "9"
    )
    return "|".join(greater).encode()


_LARGE_INTEGER = re.compile(
    rb"%b(?:-?[0-9]{21,}+|-[0-9]{20}|-(?:%b)|%b)(?![0-9.eE])" % (_NUMBER, _greater(2**63), _greater(2**64 - 1))
)
"""An integer beyond 64 bits: below -2^63 or above 2^64 - 1."""
_MAYBE_LARGE_FLOAT = re.compile(
    rb"%b-?(?:[0-9]++(?:\.[0-9]++)?[eE]\+?[0-9]{3,}+|[0-9]{200,}+(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)" % _NUMBER
)
"""Every float that may exceed a double: one with a long exponent, or with very many digits before its point."""

_CONSTANT = re.compile(rb"-?(?:NaN|Infinity)")
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNPAIRED = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))

Spans = Sequence[tuple[int, int]]
"""Start and end of each place."""


def repair_json(text: bytes, masked: bytes, field: str) -> tuple[bytes, list[ItemWarning]]:
    """Return *text* as strict JSON, and the warnings about it; *field* begins the paths.

    `NaN` and `Infinity` become null, and unpaired surrogates U+FFFD: the only faults that `lenient_json` lets pass.
    *masked* is *text* with the content of its strings masked.
    """
    text, warnings = _repair(text, _spans(_CONSTANT, masked), (WarningCode.NOT_A_NUMBER, b"null"), field)
    surrogates = _spans(_UNPAIRED, text.replace(b"\\\\", b"  "))
    text, more = _repair(text, surrogates, (WarningCode.INVALID_UNICODE, b"\\ufffd"), field)
    return text, warnings + more


def quote_large_numbers(value: bytes, masked: bytes, field: str) -> tuple[bytes, list[ItemWarning]]:
    """Return the JSON text *value* of *field*, and the warnings about it.

    Integers beyond 64 bits and numbers beyond a double become strings of their text. *masked* is *value* with the
    content of its strings masked.
    """
    floats = map(math.isinf, map(float, _MAYBE_LARGE_FLOAT.findall(masked)))
    spans = {*_spans(_LARGE_INTEGER, masked), *compress(_spans(_MAYBE_LARGE_FLOAT, masked), floats)}
    return _repair(value, sorted(spans), (WarningCode.NUMBER_AS_TEXT, b'"%b"'), field)


def _repair(text: bytes, spans: Spans, fault: tuple[WarningCode, bytes], field: str) -> tuple[bytes, list[ItemWarning]]:
    """Return *text* with *spans* replaced, and the warnings; *fault* is their code and what replaces them."""
    if not spans:
        return text, []
    code, replacement = fault
    paths = [path_of(text, start, field) for start, _ in spans[:MOST_PLACES]]
    if len(spans) > MOST_PLACES:
        paths.append(field)
    return _replaced(text, spans, replacement), [ItemWarning(code, path) for path in dict.fromkeys(paths)]


def _spans(pattern: re.Pattern[bytes], text: bytes) -> Spans:
    return list(map(methodcaller("span"), pattern.finditer(text)))


def _replaced(value: bytes, spans: Spans, replacement: bytes) -> bytes:
    """Return *value* with each of *spans* replaced; `%b` in *replacement* stands for what is there."""
    starts, ends = map(itemgetter(0), spans), list(map(itemgetter(1), spans))
    kept = map(value.__getitem__, map(slice, chain((0,), ends), chain(starts, (None,))))
    return b"".join(chain.from_iterable(zip_longest(kept, _texts(value, spans, replacement), fillvalue=b"")))


def _texts(value: bytes, spans: Spans, replacement: bytes) -> Iterable[bytes]:
    if b"%b" not in replacement:
        return repeat(replacement, len(spans))
    return map(replacement.__mod__, map(value.__getitem__, map(slice, *zip(*spans, strict=True))))
