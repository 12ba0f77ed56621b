"""The ages of many rows at once: how long after `receivedAt` they became visible. Pure.

Parsing each time would cost a tenth of what the sink needs for a row. Times of one form sort as text, so a search finds
how many are within each bound. Their sum is that of their digits, which are added column by column.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from schemas.times import SECOND, format_time, parse_time

_LENGTH = len("2026-01-31T23:59:59.123456Z")
_DATE = len("2026-01-31")
_HOUR, _MINUTE = 3600 * SECOND, 60 * SECOND
_DIGITS = (
    *((11, 10 * _HOUR), (12, _HOUR), (14, 10 * _MINUTE), (15, _MINUTE), (17, 10 * SECOND), (18, SECOND)),
    *((20, SECOND // 10), (21, SECOND // 100), (22, SECOND // 1000)),
)
"""Place and weight, in microseconds, of each digit of the time of day down to milliseconds."""
_SEPARATORS = (10, 13, 16, 19, 26)
"""Places of the other characters after the date."""
_ZERO = ord("0")
_OTHER_FORM = "not in the form of `format_time`"


class Ages(NamedTuple):
    """Ages of rows."""

    counts: list[int]
    """The number of rows at or below each bound, then of all."""
    seconds: float
    """The sum, to the millisecond for each."""


def row_ages(received: Iterable[str], now: int, bounds: Sequence[float]) -> Ages:
    """Return the ages at *now*, in microseconds since 1970, of rows *received* at times in the form of `format_time`.

    *bounds* are in seconds. Text of another form, which only a foreign writer leaves, is not counted.
    """
    times = sorted(received)
    try:
        total = sum(map(_sum_of_a_day, _by_day(times)))
    except ValueError:
        times = [text for text in times if _is_time(text)]
        total = sum(map(_sum_of_a_day, _by_day(times)))
    count = len(times)
    counts = [count - bisect_left(times, format_time(max(0, now - int(bound * SECOND)))) for bound in bounds]
    return Ages([*counts, count], (count * now - total) / SECOND)


def _is_time(text: str) -> bool:
    try:
        return format_time(parse_time(text)) == text
    except ValueError:
        return False


def _by_day(times: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the sorted *times* in parts that share their first ten characters."""
    start = 0
    while start < len(times):
        end = bisect_right(times, times[start][:_DATE], start, key=_date)
        yield times[start:end]
        start = end


def _date(text: str) -> str:
    return text[:_DATE]


def _sum_of_a_day(times: Sequence[str]) -> int:
    """Return the sum of the sorted *times*, which share their date, to the millisecond for each.

    Raises ValueError if one has another form.
    """
    count, first, last, text = len(times), times[0], times[-1], "".join(times)
    if len(text) != _LENGTH * count or len(last) != _LENGTH or not text.isascii() or not _is_time(first):
        raise ValueError(_OTHER_FORM)
    # What the first and the last have in common, those between them have as well.
    same = next((place for place in range(_LENGTH) if first[place] != last[place]), _LENGTH)
    if any(text[place::_LENGTH].count(first[place]) != count for place in _SEPARATORS if place >= same):
        raise ValueError(_OTHER_FORM)
    total, characters = count * parse_time(first[:_DATE]), text.encode()
    for place, weight in _DIGITS:
        if place < same:
            total += count * weight * int(first[place])
            continue
        column = characters[place::_LENGTH]
        if not column.isdigit():
            raise ValueError(_OTHER_FORM)
        total += weight * (sum(column) - count * _ZERO)
    return total
