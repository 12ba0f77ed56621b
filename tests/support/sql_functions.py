"""What the SQL functions num, str, bool and at make of a JSON value, in Python: the model for the tests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_DOWN, Decimal
from math import isfinite
from types import MappingProxyType
from typing import Any

_NUMBER = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?")
_TIME = re.compile(
    r"(?P<date>(19|2[0-2])[0-9]{2}-[0-9]{2}-[0-9]{2})"
    r"([T ](?P<clock>[0-9]{2}:[0-9]{2}(:[0-9]{2})?)([.](?P<fraction>[0-9]+))?"
    r"( ?(Z|UTC|(?P<sign>[+-])(?P<hours>[0-9]{2}):?(?P<minutes>[0-9]{2})?))?)?"
)
_SECONDS = (Decimal(10**8), Decimal(10**10 - 1))
_MILLISECONDS = (Decimal(10**11), Decimal(10**13 - 1))


def num(value: Any) -> float | None:
    """A finite number, or text that is one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value) and isfinite(float(value)):
        return float(value)
    return None


def text(value: Any) -> str | None:
    """Text as it is, and the JSON text of anything else but null and objects."""
    if value is None or isinstance(value, dict):
        return None
    return value if isinstance(value, str) else json.dumps(value)


def boolean(value: Any) -> bool | None:
    """A boolean, 1 or 0, or text that is one of them."""
    if isinstance(value, float) and str(value) in {"1.0", "0.0"}:
        return value == 1
    return {"true": True, "1": True, "false": False, "0": False}.get((text(value) or "").lower())


def at(value: Any) -> datetime | None:
    """A time or date in ISO 8601, UTC without an offset, or seconds or milliseconds since 1970."""
    if isinstance(value, str) and (found := _TIME.fullmatch(value)):
        return _parsed(found)
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    number = Decimal(str(value))
    if _MILLISECONDS[0] <= number <= _MILLISECONDS[1]:
        number /= 1000
    elif not _SECONDS[0] <= number <= _SECONDS[1]:
        return None
    micros = (number * 1_000_000).to_integral_value(ROUND_DOWN)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(micros))


def _parsed(found: re.Match[str]) -> datetime | None:
    clock, fraction = found["clock"] or "00:00:00", found["fraction"] or ""
    if fraction and clock.count(":") == 1:
        return None
    offset = timedelta(hours=int(found["hours"] or 0), minutes=int(found["minutes"] or 0))
    if offset >= timedelta(hours=15) or int(found["minutes"] or 0) >= 60:
        return None
    zone = timezone(-offset if found["sign"] == "-" else offset)
    try:
        base = datetime.fromisoformat(f"{found['date']}T{clock}").replace(tzinfo=zone)
    except ValueError:
        return None
    return (base + timedelta(microseconds=int(fraction[:6].ljust(6, "0")))).astimezone(UTC)


MODELS: Mapping[str, Callable[[Any], Any]] = MappingProxyType({"num": num, "str": text, "bool": boolean, "at": at})
