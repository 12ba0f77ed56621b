"""Values inside a field that the store cannot hold: large numbers, `NaN` and `Infinity`, unpaired surrogates.

Only the places at fault are rewritten; every other byte stays as sent. All work that grows with the text is done by
functions in C, so that no text takes long.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress, repeat, zip_longest
from operator import itemgetter, methodcaller

from gateway.ingest.coerce.paths import path_of
from gateway.ingest.json_checks import LARGE_INTEGER, MAYBE_LARGE_FLOAT, mask_strings, may_have_large_number
from schemas.items import ItemWarning, WarningCode

MOST_PLACES = 3
"""Places of a field that are named by their paths. If there are more, a warning names the field alone."""

_CONSTANT = re.compile(rb"-?(?:NaN|Infinity)")
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_UNPAIRED = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))

Spans = Sequence[tuple[int, int]]
"""Start and end of each place."""
_Fault = tuple[Callable[[bytes], Spans], WarningCode, bytes]
"""What finds the places, the code of their warnings, and what replaces them."""


def repair_json(text: bytes, field: str) -> tuple[bytes, list[ItemWarning]]:
    """Return *text* as strict JSON, and the warnings about it; *field* begins the paths.

    `NaN` and `Infinity` become null, and unpaired surrogates U+FFFD: the only faults that `lenient_json` lets pass.
    """
    return _repair(text, field, _SYNTAX)


def quote_large_numbers(value: bytes, field: str) -> tuple[bytes, list[ItemWarning]]:
    """Return the JSON text *value* of *field*, and the warnings about it.

    Integers beyond 64 bits and numbers beyond a double become strings of their text.
    """
    return _repair(value, field, _NUMBERS)


def _repair(text: bytes, field: str, faults: Sequence[_Fault]) -> tuple[bytes, list[ItemWarning]]:
    warnings: list[ItemWarning] = []
    for find, code, replacement in faults:
        if spans := find(text):
            named = spans[: MOST_PLACES - len(warnings)]
            paths = [path_of(text, start, field) for start, _ in named]
            if len(named) < len(spans):
                paths.append(field)
            warnings += [ItemWarning(code, path) for path in dict.fromkeys(paths)]
            text = _replaced(text, spans, replacement)
    return text, warnings


def _large_integers(value: bytes) -> Spans:
    outside = mask_strings(value)
    return _spans(LARGE_INTEGER, outside) if may_have_large_number(outside) else ()


def _large_floats(value: bytes) -> Spans:
    outside = mask_strings(value)
    if not may_have_large_number(outside):
        return ()
    infinite = map(math.isinf, map(float, MAYBE_LARGE_FLOAT.findall(outside)))
    return list(compress(_spans(MAYBE_LARGE_FLOAT, outside), infinite))


def _constants(value: bytes) -> Spans:
    return _spans(_CONSTANT, mask_strings(value))


def _unpaired_surrogates(value: bytes) -> Spans:
    return _spans(_UNPAIRED, value.replace(b"\\\\", b"  "))


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


_NUMBERS: Sequence[_Fault] = (
    (_large_integers, WarningCode.NUMBER_AS_TEXT, b'"%b"'),
    (_large_floats, WarningCode.NUMBER_AS_TEXT, b'"%b"'),
)
_SYNTAX: Sequence[_Fault] = (
    (_constants, WarningCode.NOT_A_NUMBER, b"null"),
    (_unpaired_surrogates, WarningCode.INVALID_UNICODE, b"\\ufffd"),
)
