"""The order and the pages of `/api/events`."""

from __future__ import annotations

import pytest

from deploy.console import event_search, search_sql
from deploy.console.errors import ParameterError
from deploy.console.event_search import decode_cursor, encode_cursor
from deploy.console.search_sql import Cursor, Match, Window
from schemas.times import END, SECOND

WHOLE = Window(0, END)


@pytest.mark.parametrize(
    ("match", "tables"),
    [
        (Match(), ["identifies", "events", "duplicates", "rejected"]),
        (Match(verdict="accepted"), ["identifies", "events"]),
        (Match(verdict="accepted", event="A"), ["events"]),
        (Match(event="A"), ["events", "duplicates", "rejected"]),
        (Match(verdict="rejected"), ["rejected"]),
    ],
)
def test_only_tables_that_can_match_are_read(match: Match, tables: list[str]) -> None:
    assert search_sql.tables(match) == tables


@pytest.mark.parametrize("table", ["identifies", "events", "duplicates", "rejected"])
def test_every_statement_has_a_limit_and_the_project(table: str) -> None:
    match = Match("dev", "u", "e", None, "s")
    for statement in (search_sql.rows(table, match, WHOLE, 7), search_sql.count(match, WHOLE, 7)):
        assert "LIMIT {limit:UInt32}" in statement.sql
        assert statement.sql.count("project_id = {project:String}") == statement.sql.count("received_at >= ")
        assert {"project": "dev", "user": "u", "search": "s", "limit": 7}.items() <= statement.parameters.items()


def test_value_is_never_part_of_a_statement() -> None:
    hostile = "x') OR 1=1 --"
    match = Match(hostile, hostile, hostile, None, hostile)

    for statement in (
        *(search_sql.rows(t, match, WHOLE, 1) for t in search_sql.tables(match)),
        search_sql.count(match, WHOLE, 1),
    ):
        assert hostile not in statement.sql


def test_items_of_one_time_are_ordered_by_table_and_place() -> None:
    row = {"received": "5", "_log": 1, "_partition": 2, "_origin": "3"}
    places = [search_sql.place(table, row) for table in ("identifies", "events", "duplicates", "rejected")]

    assert sorted(places, reverse=True) == places
    assert all(Cursor.before(5) < place < Cursor.before(6) for place in places)


def test_page_continues_below_its_last_item() -> None:
    before = Window(0, END, Cursor(5, 2, 1, 2, 3))

    assert (
        "received_at < fromUnixTimestamp64Micro({cursor_time:Int64}, 'UTC')"
        in search_sql.rows("identifies", Match(), before, 1).sql
    )
    assert (
        "received_at <= fromUnixTimestamp64Micro({cursor_time:Int64}, 'UTC')"
        in search_sql.rows("rejected", Match(), before, 1).sql
    )
    assert "(_log, _partition, _origin) <" in search_sql.rows("events", Match(), before, 1).sql


@pytest.mark.parametrize("cursor", [Cursor(0, -1), Cursor(END, 3, 65535, 2**32 - 1, 2**63 - 1)])
def test_cursor_is_read_back(cursor: Cursor) -> None:
    assert decode_cursor(encode_cursor(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "====", "AAAA", "é", "a" * 511, "\ud800"),
        *(encode_cursor(Cursor(*values)) for values in ((-1, 0), (END + 1, 0), (1, 4), (1, 0, 65536), (1, 0, 0, -1))),
    ],
)
def test_other_cursor_is_named(text: str) -> None:
    with pytest.raises(ParameterError, match="before: must be the `next` of an earlier page"):
        decode_cursor(text)


def test_windows_grow_and_cover_the_asked_time_without_gaps() -> None:
    end = 100 * 86_400 * SECOND
    windows = list(event_search._windows(Window(0, end)))

    assert windows[0].end == end
    assert windows[-1].start == 0
    assert [each.start for each in windows[:-1]] == [each.end for each in windows[1:]]
    lengths = [each.end - each.start for each in windows]
    assert lengths == sorted(lengths)


def test_short_time_is_one_window() -> None:
    assert list(event_search._windows(Window(0, 60 * SECOND))) == [Window(0, 60 * SECOND)]
