"""Times in other forms than ISO 8601: epoch numbers, RFC 2822, and the texts of several languages and phones.

What is no time in any of them is replaced: a clock that is wrong is no reason to lose an event.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import Raw

from schemas.items import ItemWarning, WarningCode
from schemas.times import EARLIEST, END, SECOND, parse_time

MAX_CHARACTERS = 128
"""A longer text is no time."""

_decode_scalar = msgspec.json.Decoder(str | float).decode
_EPOCH_UNITS = tuple((EARLIEST // SECOND * unit, END // SECOND * unit, unit) for unit in (1, 10**3, 10**6, 10**9))
"""First and last number of seconds, milliseconds, microseconds and nanoseconds. No number is in two of the ranges."""
_EPOCH = re.compile(r"([0-9]{8,19})(?:\.([0-9]{1,40}))?")
_EXPONENT = re.compile(r"[0-9](?:\.[0-9]{1,20})?[eE]\+?[0-9]{1,2}")

_DATE = r"(?P<year>[0-9]{4})(?P<dash>-?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
_CLOCK = r"(?P<hour>[0-9]{2}):?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
_OFFSET = r"(?:[Zz]|(?:UTC|GMT|UT)?(?:(?P<sign>[+-])(?P<hours>[0-9]{1,2})(?::?(?P<minutes>[0-9]{2}))?)?)"
_ZONE_NAME = r"(?: ?\[[A-Za-z0-9_+/-]+\]| ?\([^()]*\))?"
_ISO = re.compile(rf"{_DATE}(?:(?:[Tt]| +)?{_CLOCK} ?{_OFFSET}{_ZONE_NAME})?")
_RFC_2822 = re.compile(
    r"(?:[A-Za-z]{3}, ?)?[0-9]{1,2}[ -][A-Za-z]{3}[ -][0-9]{4} [0-9]{2}:[0-9]{2}(?::[0-9]{2})?"
    r"(?: (?:[+-][0-9]{4}|[A-Z]{1,4}))?(?: \([^()]*\))?"
)
_JAVASCRIPT = re.compile(
    r"(?P<local>[A-Za-z]{3} [A-Za-z]{3} [0-9]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?: GMT(?P<offset>[+-][0-9]{4}))?(?: \([^()]*\))?"
)
"""`Date.prototype.toString`."""


def item_time(value: Raw, name: str) -> tuple[int | None, list[ItemWarning]]:
    """Return the time of the field *name* of an item, with a warning unless it has the usual form.

    None if *value* means no time between 1971 and 2261: the time of receipt takes its place.
    """
    return _read(value, name, WarningCode.TIMESTAMP_REPLACED)


def sent_time(value: Raw) -> tuple[int | None, list[ItemWarning]]:
    """Return the time of `sentAt` as `item_time` does. None corrects no clock."""
    return _read(value, "sentAt", WarningCode.SENT_AT_IGNORED)


def _read(value: Raw, name: str, unreadable: WarningCode) -> tuple[int | None, list[ItemWarning]]:
    decoded = _scalar(value)
    if isinstance(decoded, str):
        with suppress(ValueError):
            if (micros := parse_time(decoded)) >= EARLIEST:
                return micros, []
    sent = decoded if isinstance(decoded, str) else bytes(value).decode()[:MAX_CHARACTERS]
    time = None if decoded is None else _other_form(_plain(sent))
    code = unreadable if time is None else WarningCode.TIMESTAMP_REFORMATTED
    return time, [ItemWarning(code, name, sent)]


def _other_form(text: str) -> int | None:
    for read in (_read_epoch, _read_iso, _read_rfc_2822, _read_javascript):
        with suppress(ValueError, OverflowError):
            micros = read(text)
            if EARLIEST <= micros < END:
                return micros
    return None


def _scalar(value: Raw) -> str | float | None:
    """Return the string or number *value*, None for anything else."""
    try:
        decoded = _decode_scalar(value)
    except msgspec.DecodeError:
        return None
    return decoded if isinstance(decoded, float) or len(decoded) <= MAX_CHARACTERS else None


def _plain(text: str) -> str:
    """Return *text* with ASCII digits, and without invisible characters and white space around it."""
    if text.isascii():
        return text.strip()
    characters = [
        str(unicodedata.decimal(character)) if character.isdecimal() else character
        for character in text
        if unicodedata.category(character) != "Cf"
    ]
    return "".join(characters).replace("\N{ARABIC DECIMAL SEPARATOR}", ".").strip()


def _read_epoch(text: str) -> int:
    """Return the time of an epoch number in seconds, milliseconds, microseconds or nanoseconds."""
    if _EXPONENT.fullmatch(text) is not None:
        text = f"{float(text):.6f}"
    match = _EPOCH.fullmatch(text)
    if match is None:
        raise ValueError("not an epoch number")
    whole, fraction = int(match[1]), match[2] or ""
    for first, end, unit in _EPOCH_UNITS:
        if first <= whole < end:
            micros = whole * SECOND // unit
            return micros + int(fraction[:6].ljust(6, "0")) // unit if fraction else micros
    raise ValueError("not within the years 1971 to 2261")


def _read_iso(text: str) -> int:
    """Return the time of an ISO 8601 text, extended or basic, with what some senders add to it."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError("not an ISO 8601 date or date-time")
    part = match.groupdict(default="0")
    hour, second = int(part["hour"]), int(part["second"])
    if hour == 24 and not int(part["minute"]) + second:
        later, hour = timedelta(days=1), 0
    else:
        # A leap second is the first one of the next minute.
        later, second = (timedelta(seconds=1), 59) if second == 60 else (timedelta(), second)
    date = int(part["year"]), int(part["month"]), int(part["day"])
    offset = timedelta(hours=int(part["hours"]), minutes=int(part["minutes"]))
    zone = timezone(-offset if part["sign"] == "-" else offset)
    micros = int(part["fraction"][:6].ljust(6, "0"))
    return _micros(datetime(*date, hour, int(part["minute"]), second, micros, tzinfo=zone) + later)


def _read_rfc_2822(text: str) -> int:
    if _RFC_2822.fullmatch(text) is None:
        raise ValueError("not an RFC 2822 date-time")
    time = parsedate_to_datetime(text)
    return _micros(time if time.tzinfo is not None else time.replace(tzinfo=UTC))


def _read_javascript(text: str) -> int:
    match = _JAVASCRIPT.fullmatch(text)
    if match is None:
        raise ValueError("not the text of a JavaScript date")
    return _micros(datetime.strptime(f"{match['local']} {match['offset'] or '+0000'}", "%a %b %d %Y %H:%M:%S %z"))


def _micros(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
