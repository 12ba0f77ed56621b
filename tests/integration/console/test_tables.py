"""The queries of the console on the real engine, as the login that only reads."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest

from deploy.console import event_search, persons, rates, rejections
from deploy.console.errors import UnknownError
from deploy.console.event_search import Page, decode_cursor, search
from deploy.console.items import CONTENT_CHARACTERS
from deploy.console.search_sql import Match, Window
from deploy.console.tables import LimitedClickHouse, LimitError
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from tests.support.console_rows import SECOND, Rows, add_one_of_each, at, times

NOW = time.time_ns() // 1000
WHOLE = Window(0, NOW + 3600 * SECOND)
RECENT = Window(NOW - SECOND, NOW + SECOND)
"""Searched with one query of each table."""


def ids(page: Page) -> list[str | None]:
    return [item.message_id for item in page.items]


def test_items_of_all_tables_are_found_newest_first(rows: Rows, tables: LimitedClickHouse) -> None:
    for number, age in enumerate((1, 600, 7200, 2 * 86_400, 60 * 86_400)):
        add_one_of_each(rows, NOW - age * SECOND, str(number))
    page = search(tables, Match(), WHOLE, 100)

    assert ids(page) == [f"{kind}{number}" for number in range(5) for kind in "iedr"]
    assert (page.next, page.is_complete, page.message) == (None, True, None)
    event = next(item for item in page.items if item.message_id == "e0")
    assert (event.verdict, event.type, [each.code for each in event.warnings]) == (
        "accepted",
        "track",
        ["number_as_id"],
    )
    identify = next(item for item in page.items if item.message_id == "i0")
    assert msgspec.json.decode(identify.content)["traits"] == {"n": 1, "x": None}
    for match, expected in (
        (Match(verdict="accepted"), "ie"),
        (Match(verdict="duplicate"), "d"),
        (Match(verdict="rejected"), "r"),
        (Match(event="Clicked"), "ed"),
    ):
        assert ids(search(tables, match, Window(NOW - 5 * SECOND, NOW), 100)) == [f"{kind}0" for kind in expected]
    assert ids(search(tables, Match("other"), WHOLE, 100)) == []


def test_pages_have_every_item_once_also_of_one_time(rows: Rows, tables: LimitedClickHouse) -> None:
    for table, count in (("events", 30), ("identifies", 5), ("duplicates", 12), ("rejected", 8)):
        extra = {"rejected_at": at(NOW)["received_at"]} if table == "rejected" else {}
        times_of = at if table in {"duplicates", "rejected"} else times
        rows.add(table, [{**times_of(NOW - 9 * SECOND), **extra} for _ in range(count)])
    found, cursor = [], None
    for _ in range(20):
        end = WHOLE.end if cursor is None else cursor.time + 1
        page = search(tables, Match(), Window(0, end, cursor), 7)
        found += ids(page)
        if page.next is None:
            break
        cursor = decode_cursor(page.next)

    assert len(found) == len(set(found)) == 55
    assert found == ids(search(tables, Match(), WHOLE, 500))


@pytest.mark.parametrize(
    "text",
    [
        *("' OR 1=1 --", "\\", "\\'", '"quoted"', "{search:String}", "%_", "\t", "a\nb", "; DROP TABLE events", "`x`"),
        *("\U0001f600", "\u202egnp", "ÄÖ", "x" * 500, "\\u0041", "NULL", "*/"),
    ],
)
def test_search_text_is_a_value_whatever_it_contains(rows: Rows, tables: LimitedClickHouse, text: str) -> None:
    written = text.replace("ÄÖ", "äö")
    values = {"user_id": written, "event": written, "properties": {"note": written, written: 1}}
    rows.add("events", [{**times(NOW), "message_id": "odd", **values}, {**times(NOW), "message_id": "other"}])
    shown = msgspec.json.encode(text).decode()[1:-1]

    assert ids(search(tables, Match(search=shown), RECENT, 10)) == ["odd"]
    for match in (Match("dev", user_id=written), Match(event=written)):
        assert ids(search(tables, match, RECENT, 10)) == ["odd"]
    assert ids(search(tables, Match(text), RECENT, 10)) == []
    with pytest.raises(UnknownError):
        persons.find(tables, ["dev"], text, RECENT)


def test_search_finds_any_member_of_an_item(rows: Rows, tables: LimitedClickHouse) -> None:
    rows.add("events", [{**times(NOW), "message_id": "m", "properties": {"Price": 42.5}, "context": '{"ip":"::1"}'}])
    for text in ('"price":42.5', "CLICKED", '"ip":"::1"', '"messageId":"m"', '"type":"track"'):
        assert ids(search(tables, Match(search=text), WHOLE, 10)) == ["m"], text


def test_long_content_is_cut(rows: Rows, tables: LimitedClickHouse) -> None:
    rows.add("events", [{**times(NOW), "properties": {"a": "x" * 100_000}}])
    (item,) = search(tables, Match(), WHOLE, 10).items

    assert item.is_content_cut
    assert len(msgspec.json.decode(item.content, type=str)) == CONTENT_CHARACTERS


def test_search_without_time_says_that_it_is_not_complete(rows: Rows, tables: LimitedClickHouse) -> None:
    add_one_of_each(rows, NOW - SECOND)
    page = search(tables, Match(), WHOLE, 10, seconds=0)

    assert (ids(page), page.next, page.is_complete) == ([], None, False)
    assert "the time was over" in (page.message or "")


def test_rows_that_take_too_much_memory_make_a_shorter_page(rows: Rows, tables: LimitedClickHouse) -> None:
    large = "x" * 500_000
    for _ in range(4):
        rows.add("events", [{**times(NOW - SECOND), "properties": {"a": large}} for _ in range(50)])
    page = search(tables, Match(), WHOLE, 200)

    assert page.items
    assert len(page.items) == 200 or (page.next and not page.is_complete and "memory" in (page.message or ""))


def test_query_beyond_its_limits_has_no_result(tables: LimitedClickHouse) -> None:
    began = time.monotonic()
    with pytest.raises(LimitError) as too_long:
        tables.query("SELECT max(sipHash64(number)) FROM numbers(1000000000000)", seconds=1)
    assert not too_long.value.is_memory
    assert time.monotonic() - began < 5
    with pytest.raises(LimitError) as too_much:
        tables.query("SELECT length(groupArray(number)) FROM numbers(1000000000)")
    assert too_much.value.is_memory


def test_login_of_the_console_cannot_write(tables: LimitedClickHouse, writer: ClickHouse) -> None:
    for statement in ("INSERT INTO events (event) VALUES ('x')", "TRUNCATE TABLE events", "DROP TABLE events"):
        with pytest.raises(ClickHouseError):
            ClickHouse.execute(tables, statement)
    writer.execute("INSERT INTO events (event, received_at) VALUES ('control', now())")


def test_rejected_items_are_grouped_with_the_newest_as_example(rows: Rows, tables: LimitedClickHouse) -> None:
    for number in range(3):
        micros = NOW - (10 - number) * SECOND
        common = {**at(micros), "rejected_at": at(micros)["received_at"]}
        rows.add("rejected", [{**common, "message_id": f"r{number}", "content": f'{{"n":{number}}}'}])
        rows.add(
            "rejected",
            [
                {
                    **common,
                    "project_id": "other",
                    "code": "row_rejected",
                    "stage": "sink",
                    "field": "",
                    "table_name": "events",
                    "source_topic": "items.v1",
                }
            ],
        )
    old = {**at(NOW - 7200 * SECOND), "rejected_at": at(NOW - 7200 * SECOND)["received_at"]}
    rows.add("rejected", [{**old, "code": "old"}])
    since = datetime.fromtimestamp((NOW - 3600 * SECOND) / SECOND, UTC)
    found = rejections.groups(tables, None, since)

    assert {(each.project_id, each.code, each.count) for each in found} == {
        ("dev", "event_required", 3),
        ("other", "row_rejected", 3),
    }
    (own,) = rejections.groups(tables, "dev", since)
    assert (own.example.message_id, bytes(own.example.content)) == ("r2", b'{"n":2}')
    assert (own.field, own.table, own.first_at < own.last_at) == ("event", None, True)
    assert own.replay_command is not None
    assert own.replay_command.startswith("sequence rejected replay --project dev --code event_required --since ")
    assert rejections.groups(tables, "nobody", since) == []


def test_item_that_a_worker_rejected_twice_is_shown_once(rows: Rows, tables: LimitedClickHouse) -> None:
    common = {**at(NOW - SECOND), "rejected_at": at(NOW)["received_at"], "stage": "sink", "source_topic": "items.v1"}
    for number in range(4):
        source = {"source_partition": 0, "source_offset": number, "message_id": f"r{number}"}
        rows.add("rejected", [{**common, **source} for _ in range(3)])
    found, cursor = [], None
    while True:
        page = search(tables, Match(), Window(0, WHOLE.end if cursor is None else cursor.time + 1, cursor), 3)
        found += ids(page)
        if page.next is None:
            break
        cursor = decode_cursor(page.next)

    assert set(found) == {"r0", "r1", "r2", "r3"}
    assert ids(search(tables, Match(), WHOLE, 100)) == ["r3", "r2", "r1", "r0"]
    (group,) = rejections.groups(tables, "dev", datetime.fromtimestamp(0, UTC))
    assert group.count == 4


def test_rates_count_items_of_each_verdict_in_steps(rows: Rows, tables: LimitedClickHouse) -> None:
    start = (NOW // SECOND - 100) // 10 * 10
    for second in (0, 1, 12):
        add_one_of_each(rows, (start + second) * SECOND, str(second))
    found = rates._rows(tables, "dev", range(start, start + 20, 10))

    counted = {(row["verdict"], int(row["at"]) - start): int(row["items"]) for row in found}
    assert counted == {
        ("accepted", 0): 4,
        ("duplicate", 0): 2,
        ("rejected", 0): 2,
        ("accepted", 10): 2,
        ("duplicate", 10): 1,
        ("rejected", 10): 1,
    }
    assert rates._rows(tables, "other", range(start, start + 20, 10)) == []


def test_every_window_is_searched(rows: Rows, tables: LimitedClickHouse) -> None:
    ages = [seconds * SECOND - 1 for seconds in event_search.WINDOWS_SECONDS]
    ages += [seconds * SECOND for seconds in event_search.WINDOWS_SECONDS]
    rows.add("events", [{**times(NOW - age), "message_id": str(age)} for age in ages])

    found = ids(search(tables, Match(), Window(0, NOW), 100))
    assert found == [str(age) for age in sorted(ages)]
