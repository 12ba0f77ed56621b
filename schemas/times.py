"""Timestamps: parsing, formatting, and correction of the sender's clock.

In code a time is an integer, microseconds since 1970 in UTC. In records and replies it is text of one fixed form,
`2026-01-31T23:59:59.123456Z`, which sorts like the times themselves.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Self

import msgspec

SECOND = 1_000_000
DAY = 24 * 60 * 60 * SECOND
LARGEST_CORRECTION = DAY
"""A clock that is further off is not corrected."""
FURTHEST_AHEAD = DAY
"""An item's time that is further after its receipt is replaced by the time of receipt."""

EARLIEST = 31_536_000 * SECOND
"""1971-01-01. An earlier time of an item means none: it is what programs write for 0."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = 9_214_646_400 * SECOND
"""2262-01-01, the limit of ClickHouse's DateTime64 and of 64-bit nanoseconds."""
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
_NO_DIGITS = -SECOND
"""Added to any number of microseconds below a second, it stays negative."""


class Times(msgspec.Struct, frozen=True, gc=False):
    """The four times of an item."""

    original: int | None
    """The caller's own `timestamp`."""
    sent: int | None
    received: int
    corrected: int


def parse_time(text: str) -> int:
    """Return the time in *text*, an ISO 8601 date or date-time; UTC if it has no offset.

    Fractions of a second are truncated to microseconds. Raises `ValueError` for any other text and for years outside
    1970 to 2261.
    """
    micros = _read_usual(text)
    if micros is None:
        micros = _read_any(text)
    if not 0 <= micros < END:
        raise ValueError("outside the years 1970 to 2261")
    return micros


def _read_usual(text: str) -> int | None:
    """Return what `_read_any` does, for the forms that JavaScript, Python and this module write; None for another form.

    Fast for texts that share a second.
    """
    if text.endswith("+00:00"):  # Python's form of Z
        text = text[:-6] + "Z"
    if len(text) == 24:
        fraction = _THOUSANDTHS.get(text[20:23], _NO_DIGITS)
    elif len(text) == 27:
        fraction = _THOUSANDTHS.get(text[20:23], _NO_DIGITS) + _MILLIONTHS.get(text[23:26], _NO_DIGITS)
    else:
        return None
    if fraction < 0 or text[-1] != "Z":
        return None
    second = _read_second(text[:20])
    return None if second is None else second + fraction


@lru_cache(maxsize=8192)
def _read_second(text: str) -> int | None:
    """Return the microseconds of `2026-01-31T23:59:59.`; None for another form."""
    return None if _SECOND_FORM.fullmatch(text) is None else _read_any(text[:-1])


def _read_any(text: str) -> int:
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not an ISO 8601 date or date-time")
    date, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    since = datetime.fromisoformat(f"{date}T{hour or '00'}:{minute or '00'}:{second or '00'}Z") - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if sign is not None:
        offset = int(hours) * 3600 + int(minutes or 0) * 60
        seconds += offset if sign == "-" else -offset
    return seconds * SECOND + int((fraction or "0")[:6].ljust(6, "0"))


def format_time(micros: int) -> str:
    """Return *micros* in the fixed form."""
    second, fraction = divmod(micros, SECOND)
    return f"{_second_text(second)}{_DIGITS[fraction // 1000]}{_DIGITS[fraction % 1000]}Z"


def clock_shift(sent_at: int | None, received_at: int) -> int:
    """Return how many microseconds to add to the sender's times: its clock is that far behind the gateway's.

    0 if *sent_at* is None or the difference exceeds `LARGEST_CORRECTION`.
    """
    if sent_at is None:
        return 0
    shift = received_at - sent_at
    return shift if -LARGEST_CORRECTION <= shift <= LARGEST_CORRECTION else 0


def correct(timestamp: int | None, sent_at: int | None, received_at: int) -> Times:
    """Return the four times of an item. The corrected time is `receivedAt - (sentAt - timestamp)`, Segment's rule.

    It is the time of receipt if it would be later than that by more than `FURTHEST_AHEAD`, and *timestamp* if it would
    be before 1970.
    """
    corrected = received_at
    if timestamp is not None:
        corrected = timestamp + clock_shift(sent_at, received_at)
        if corrected < 0:
            corrected = timestamp
        elif corrected > received_at + FURTHEST_AHEAD:
            corrected = received_at
    return Times(timestamp, sent_at, received_at, corrected)


class Clock(msgspec.Struct, frozen=True, gc=False):
    """A sender's clock. `read` gives the result of `parse_time` and `correct` as text, fast for many times."""

    received_at: int
    received: str
    sent_at: int | None
    sent: str | None
    latest: str
    """Corrected times after this one become `received`."""
    seconds: int
    micros: int
    """Added to the sender's times together with `seconds`; 0 to 999,999."""

    @classmethod
    def of(cls, sent_at: int | None, received_at: int) -> Self:
        """Return the clock of a sender: *sent_at* is its own reading, *received_at* the gateway's."""
        seconds, micros = divmod(clock_shift(sent_at, received_at), SECOND)
        return cls(
            received_at=received_at,
            received=format_time(received_at),
            sent_at=sent_at,
            sent=None if sent_at is None else format_time(sent_at),
            latest=format_time(received_at + FURTHEST_AHEAD),
            seconds=seconds,
            micros=micros,
        )

    def read(self, text: str) -> tuple[str, str]:
        """Return the time in *text* and the corrected time, both in the fixed form.

        Raises `ValueError` if it is no time, or one before `EARLIEST`.

        Fast path for the forms that JavaScript, Python and this module write: the result is put together from parts,
        most of which the items of a batch share.
        """
        if len(text) == 24:
            fraction, original = _THOUSANDTHS.get(text[20:23], _NO_DIGITS), text[:-1] + "000Z"
        elif len(text) == 27:
            fraction = _THOUSANDTHS.get(text[20:23], _NO_DIGITS) + _MILLIONTHS.get(text[23:26], _NO_DIGITS)
            original = text
        elif text.endswith("+00:00"):  # Python's form of Z
            return self.read(text[:-6] + "Z")
        else:
            return self._read_any(text)
        if fraction < 0 or text[-1] != "Z":
            return self._read_any(text)
        fraction += self.micros
        if fraction < SECOND:
            second = _shift_second(text[:20], self.seconds)
        else:
            fraction -= SECOND
            second = _shift_second(text[:20], self.seconds + 1)
        if second is None:
            return self._read_any(text)
        corrected = f"{second}{_DIGITS[fraction // 1000]}{_DIGITS[fraction % 1000]}Z"
        return original, corrected if corrected <= self.latest else self.received

    def _read_any(self, text: str) -> tuple[str, str]:
        original = parse_time(text)
        if original < EARLIEST:
            raise ValueError("before the year 1971")
        times = correct(original, self.sent_at, self.received_at)
        return format_time(original), format_time(times.corrected)


@lru_cache(maxsize=8192)
def _shift_second(text: str, seconds: int) -> str | None:
    """Return `2026-01-31T23:59:59.` moved by *seconds*; None for another form or a time before `EARLIEST`."""
    original = _read_second(text)
    return None if original is None or not EARLIEST <= original < END else _second_text(original // SECOND + seconds)


@lru_cache(maxsize=8192)
def _second_text(second: int) -> str:
    """Return the fixed form of a whole second, up to and including the dot."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
