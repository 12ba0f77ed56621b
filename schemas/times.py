"""Points in time, and the correction of clocks that are wrong.

Inside, a time is an integer: microseconds since 1970, UTC. Outside it is text of one fixed form,
`2026-01-31T23:59:59.123456Z`, which sorts like the times themselves.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

SECOND = 1_000_000
DAY = 24 * 60 * 60 * SECOND
LARGEST_CORRECTION = DAY
"""A clock that is further off than this says nothing about the others."""
FURTHEST_AHEAD = DAY
"""An event that would be further in the future than this has happened when it was received."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = 9_214_646_400 * SECOND
"""2262-01-01: ClickHouse's DateTime64 and 64-bit nanoseconds both reach to here."""
_FORM = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[01]\d|2[0-3])(?::?(?P<minutes>[0-5]\d))?)?)?",
    re.ASCII,
)
_SECOND_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.", re.ASCII)
_DIGITS = [f"{number:03d}" for number in range(1000)]
_MILLIONTHS = {digits: number for number, digits in enumerate(_DIGITS)}
_THOUSANDTHS = {digits: number * 1000 for number, digits in enumerate(_DIGITS)}


class Times(msgspec.Struct, frozen=True, gc=False):
    """The four times of an item."""

    original: int | None
    """The caller's own `timestamp`."""
    sent: int | None
    received: int
    corrected: int


def parse_time(text: str) -> int:
    """Return the time that *text* says, an ISO 8601 date or date-time; without offset it is UTC.

    Fractions of a second are cut to microseconds. Raises `ValueError` for anything else, and for years outside
    1970 to 2261.
    """
    return read_time(text)[0]


def read_time(text: str) -> tuple[int, str]:
    """Return what `parse_time` does, and the fixed form with it: for JavaScript's `….123Z` that is nearly the text."""
    try:
        if len(text) == 24 and text[-1] == "Z":
            return _second(text[:20]) + _THOUSANDTHS[text[20:23]], text[:-1] + "000Z"
        if len(text) == 27 and text[-1] == "Z":
            return _second(text[:20]) + _THOUSANDTHS[text[20:23]] + _MILLIONTHS[text[23:26]], text
    except KeyError:
        pass
    if text.endswith("+00:00"):  # Python's way to write Z
        return read_time(text[:-6] + "Z")
    micros = _parse_any(text)
    return micros, format_time(micros)


def format_time(micros: int) -> str:
    """Return *micros* in the fixed form."""
    second, fraction = divmod(micros, SECOND)
    return f"{_second_text(second)}{_DIGITS[fraction // 1000]}{_DIGITS[fraction % 1000]}Z"


def clock_shift(sent_at: int | None, received_at: int) -> int:
    """Return by how many microseconds the sender's clock is behind ours: what has to be added to its times.

    0 where that cannot be known, or where it is more than a day.
    """
    if sent_at is None:
        return 0
    shift = received_at - sent_at
    return shift if -LARGEST_CORRECTION <= shift <= LARGEST_CORRECTION else 0


def shift_time(timestamp: int, shift: int, received_at: int) -> int:
    """Return *timestamp* corrected by *shift*; the time received where that is more than a day ahead of it."""
    corrected = timestamp + shift
    if corrected > received_at + FURTHEST_AHEAD:
        return received_at
    return corrected if corrected >= 0 else timestamp


def correct(timestamp: int | None, sent_at: int | None, received_at: int) -> Times:
    """Return the four times of an item: corrected is `receivedAt - (sentAt - timestamp)`, as Segment has it."""
    if timestamp is None:
        return Times(None, sent_at, received_at, received_at)
    corrected = shift_time(timestamp, clock_shift(sent_at, received_at), received_at)
    return Times(timestamp, sent_at, received_at, corrected)


def _parse_any(text: str) -> int:
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not an ISO 8601 date or date-time")
    date, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    since = datetime.fromisoformat(f"{date}T{hour or '00'}:{minute or '00'}:{second or '00'}Z") - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if sign is not None:
        offset = int(hours) * 3600 + int(minutes or 0) * 60
        seconds += offset if sign == "-" else -offset
    micros = seconds * SECOND + int((fraction or "0")[:6].ljust(6, "0"))
    if not 0 <= micros < _END:
        raise ValueError("outside the years 1970 to 2261")
    return micros


@lru_cache(maxsize=4096)
def _second(text: str) -> int:
    """Return the time of `2026-01-31T23:59:59.`, which the events of a batch share; `KeyError` for another form."""
    if _SECOND_FORM.fullmatch(text) is None:
        raise KeyError(text)
    return _parse_any(text[:-1])


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    """Return the fixed form of a whole second, up to and with the dot."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
