"""Retention: how long the rows of a project are kept, counted from receipt.

Rows leave ClickHouse by the week of their receipt, Monday to Sunday in UTC, once the whole week has expired.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import msgspec

CLASSES = (30, 90, 400)
"""Days that a project may choose; without a choice its rows are kept without a limit."""
EVENT_DAYS_MIN = 14
"""Fewest days of events of one name: `events.v1` has forgotten them by then, so nothing writes their rows again."""
WEEK_KEY = "toMonday(received_at)"
"""The key by which ClickHouse divides the tables into partitions; `week_of` in SQL."""


class Retention(msgspec.Struct, frozen=True, rename="camel"):
    """The class of a project is set or, with None, its rows are kept without a limit."""

    days: int | None


class EventRetention(msgspec.Struct, frozen=True, rename="camel"):
    """Events of one name are kept for fewer days or, with None, as long as those of their project."""

    days: int | None


def week_of(received_at: str) -> str:
    """Return the Monday of the week of *received_at*, a time in ISO 8601 and UTC."""
    return _monday(received_at[:10])


@lru_cache(maxsize=1024)
def _monday(day: str) -> str:
    try:
        parsed = date.fromisoformat(day)
        return (parsed - timedelta(days=parsed.weekday())).isoformat()
    except (ValueError, OverflowError):
        return day  # ClickHouse decides whether it is a time.
