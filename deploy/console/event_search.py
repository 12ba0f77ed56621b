"""`/api/events`: the newest items that match, from four tables, within limits whatever their size.

No table is sorted by time of receipt, so that the newest rows are found in two steps. The first reads only the times of
a window and the columns of the filter, and finds the time of the last item of the page; the second reads whole rows
from that time on. Windows begin at the end of the asked time and grow: most pages are full after the first, whose parts
are few and small. A window that reaches a limit ends the search, and the reply says so.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from deploy.console import items, search_sql
from deploy.console.errors import ParameterError
from deploy.console.items import Item
from deploy.console.search_sql import Cursor, Match, Window
from deploy.console.tables import QUERY_SECONDS, LimitedClickHouse, LimitError
from schemas.times import SECOND, format_time

WINDOWS_SECONDS = (120, 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
"""Ends of the windows before the end of the asked time; one more reaches to its beginning."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the answer."""

    items: Sequence[Item]
    next: str | None
    is_complete: bool
    message: str | None = None


@dataclass(slots=True)
class _Search:
    """The state of a search."""

    deadline: float
    found: int = 0
    oldest: int | None = None
    """Time of the last item of the page, or the beginning of the last window with items."""
    reached: int = 0
    """Everything from this time on was searched."""
    limit: LimitError | None = None

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()


def search(
    clickhouse: LimitedClickHouse, match: Match, window: Window, limit: int, seconds: float = QUERY_SECONDS
) -> Page:
    """Return at most *limit* of the newest items that *match* in *window*. It searches for about *seconds*."""
    state = _Search(time.monotonic() + seconds, reached=window.end)
    tables = search_sql.tables(match)
    for part in _windows(window):
        if state.found >= limit or not tables:
            break
        try:
            _count(clickhouse, match, part, limit - state.found, state)
        except LimitError as error:
            state.limit = error
            break
        state.reached = part.start
    rows: list[tuple[Cursor, Item]] = []
    if state.found and state.oldest is not None:
        part = Window(state.oldest, window.end, window.before)
        rows = _read(clickhouse, match, part, limit, state)
    shown = [item for _, item in rows]
    if rows and (state.found >= limit or len(rows) < state.found):
        following: Cursor | None = rows[-1][0]
    elif state.limit is not None and state.reached < window.end:
        following = Cursor.before(state.reached)
    else:
        following = None
    return Page(
        shown,
        None if following is None else encode_cursor(following),
        is_complete=state.limit is None,
        message=None if state.limit is None else _why(state, window),
    )


def _windows(window: Window) -> Iterable[Window]:
    end = window.end
    for seconds in WINDOWS_SECONDS:
        start = window.end - seconds * SECOND
        if start <= window.start:
            break
        yield Window(start, end, window.before)
        end = start
    yield Window(window.start, end, window.before)


def _count(clickhouse: LimitedClickHouse, match: Match, part: Window, wanted: int, state: _Search) -> None:
    """Count at most *wanted* items of *part*, and note the time of the oldest of them."""
    if state.seconds_left <= 0:
        raise LimitError(is_memory=False)
    statement = search_sql.count(match, part, wanted)
    (row,) = clickhouse.query(statement.sql, statement.parameters, seconds=state.seconds_left)
    found = int(row["found"])
    if found:
        state.found += found
        state.oldest = int(row["oldest"])


def _read(
    clickhouse: LimitedClickHouse, match: Match, part: Window, limit: int, state: _Search
) -> list[tuple[Cursor, Item]]:
    """Return the items of *part*. Where whole rows take too much memory, a smaller page is read."""
    while True:
        try:
            rows = []
            for table in search_sql.tables(match):
                statement = search_sql.rows(table, match, part, limit)
                seconds = max(1.0, state.seconds_left)
                found = clickhouse.query(statement.sql, statement.parameters, seconds=seconds)
                rows += [(search_sql.place(table, row), _item(table, row)) for row in found]
        except LimitError as error:
            state.limit = error
            if not error.is_memory or limit == 1:
                state.reached = part.end
                return []
            limit = max(1, limit // 8)
            continue
        return sorted(rows, key=lambda each: each[0], reverse=True)[:limit]


def _item(table: str, row: dict[str, Any]) -> Item:
    if table == "rejected":
        return items.of_rejection(search_sql.rejected_row(row))
    return items.of_duplicate_row(row) if table == "duplicates" else items.of_row(row)


def _why(state: _Search, window: Window) -> str:
    is_begun = state.reached < window.end
    searched = f"Searched back to {format_time(state.reached)}" if is_begun else "Nothing was searched"
    reason = "the memory of a query was used up" if state.limit and state.limit.is_memory else "the time was over"
    narrow = "Narrow the search with project, event, userId or until, or continue with `before`."
    return f"{searched} before {reason}. {narrow}"


def encode_cursor(cursor: Cursor) -> str:
    """Return *cursor* as the parameter `before` takes it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def decode_cursor(text: str) -> Cursor:
    """Return the cursor in *text*; raises `ParameterError`."""
    try:
        padded = text.encode() + b"=" * (-len(text) % 4)
        return msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=Cursor)
    except (binascii.Error, msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise ParameterError("before: must be the `next` of an earlier page.") from error
