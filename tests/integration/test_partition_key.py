"""A new key of a table's partitions on the real engine: interrupted at every statement, with writers and views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from processors.clickhouse import partition_key
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import MigrationError, UnavailableError
from processors.clickhouse.partition_key import NewKey, change
from processors.sink.insert import ClickHouseSink
from schemas.clickhouse import EVENTS
from tests.contracts.sinks import block, valid_lease

MONTH, WEEK = NewKey("events", "toYYYYMM(received_at)"), NewKey("events", "toMonday(received_at)")
STATEMENTS = 6
"""Close, drop what is left of an earlier one, create, copy the only partition, exchange, drop the old table."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the process handles it."""


@pytest.fixture
def table(client: ClickHouse) -> Iterator[ClickHouse]:
    """The table `events` with ten rows, and its other tables."""
    client.execute("TRUNCATE TABLE events")
    change(client, WEEK)
    ClickHouseSink(client).insert([block(range(10))], valid_lease)
    yield client
    client.execute("DROP VIEW IF EXISTS seen")


def rows(client: ClickHouse) -> list[int]:
    return [int(row["_origin"]) for row in client.query("SELECT _origin FROM events ORDER BY _origin")]


def state(client: ClickHouse) -> Mapping[str, Any]:
    """Return what a table has besides its rows."""
    [found] = client.query(
        "SELECT replaceRegexpOne(create_table_query, 'PARTITION BY .* ORDER BY', '') AS ddl FROM system.tables"
        " WHERE database = currentDatabase() AND name = 'events'"
    )
    return found


def tables(client: ClickHouse) -> list[str]:
    found = client.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'events%'")
    return [str(row["name"]) for row in found]


def at_statement(
    monkeypatch: pytest.MonkeyPatch, number: int, then: Callable[[], None], *, before: bool = False
) -> list[str]:
    """Do *then* before or after the statement *number* that changes something; return the list of all of them."""
    execute, done = ClickHouse.execute, list[str]()

    def counted(self: ClickHouse, sql: str, *arguments: Any) -> int:
        is_it = len(done) == number
        done.append(sql)
        if is_it and before:
            then()
        result = execute(self, sql, *arguments)
        if is_it and not before:
            then()
        return result

    monkeypatch.setattr(ClickHouse, "execute", counted)
    return done


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("number", range(STATEMENTS))
def test_change_that_is_killed_after_a_statement_can_be_run_again(
    table: ClickHouse, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = state(table)
    with monkeypatch.context() as patched:
        at_statement(patched, number, kill)
        with pytest.raises(Killed):
            change(table, MONTH)
    change(table, MONTH)

    assert rows(table) == list(range(10))
    assert state(table) == before
    assert tables(table) == ["events"]
    ClickHouseSink(table).insert([block(range(10, 12))], valid_lease)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_table_takes_rows_again_after_an_interruption(
    table: ClickHouse, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise error

    with monkeypatch.context() as patched:
        at_statement(patched, 3, interrupt)
        with pytest.raises(error):
            change(table, MONTH)

    ClickHouseSink(table).insert([block(range(10, 12))], valid_lease)
    assert rows(table) == list(range(12))


def test_all_statements_are_killed(table: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        done = at_statement(patched, -1, kill)
        change(table, MONTH)

    assert len(done) == STATEMENTS, done


@pytest.mark.parametrize("number", [0, 2, 3])
def test_no_row_that_is_acknowledged_during_the_change_is_lost(
    table: ClickHouse, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The sink gets the error for which it waits; then it reads the positions and writes the rows."""
    sink, refused = ClickHouseSink(table), list[str]()

    def write() -> None:
        with pytest.raises(UnavailableError, match="Too many parts") as error:
            sink.insert([block(range(10, 12))], valid_lease)
        refused.append(str(error.value))

    with monkeypatch.context() as patched:
        at_statement(patched, number, write)
        change(table, MONTH)

    assert refused
    assert sink.positions(EVENTS, 1, [0]) == {0: 9}
    sink.insert([block(range(10, 12))], valid_lease)
    assert rows(table) == list(range(12))


def test_change_without_closing_the_table_would_lose_rows(table: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    with monkeypatch.context() as patched:
        patched.setattr(partition_key, "_is_closed_with", lambda *_: True)
        patched.setattr(
            partition_key,
            "_wait_for_inserts",
            lambda *_: table.execute("ALTER TABLE events RESET SETTING max_parts_in_total"),
        )
        at_statement(patched, 4, lambda: ClickHouseSink(table).insert([block(range(10, 12))], valid_lease))
        change(table, MONTH)

    assert rows(table) == list(range(10))


def test_row_that_is_written_all_the_same_ends_the_change(table: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(
            partition_key,
            "_wait_for_inserts",
            lambda *_: table.execute("ALTER TABLE events RESET SETTING max_parts_in_total"),
        )
        at_statement(patched, 4, lambda: ClickHouseSink(table).insert([block(range(10, 12))], valid_lease))
        with pytest.raises(MigrationError, match="Another migration of events is running"):
            change(table, MONTH)

    assert rows(table) == list(range(12))
    ClickHouseSink(table).insert([block(range(12, 14))], valid_lease)


def test_views_indexes_and_columns_of_others_stay(table: ClickHouse) -> None:
    table.execute("ALTER TABLE events ADD COLUMN IF NOT EXISTS extra UInt8 DEFAULT 7")
    table.execute("ALTER TABLE events ADD INDEX IF NOT EXISTS users user_id TYPE bloom_filter GRANULARITY 4")
    table.execute("CREATE MATERIALIZED VIEW seen ENGINE = MergeTree ORDER BY o AS SELECT _origin AS o FROM events")
    before = state(table)
    change(table, MONTH)
    ClickHouseSink(table).insert([block(range(10, 12))], valid_lease)

    assert state(table) == before
    assert table.query("SELECT o FROM seen ORDER BY o") == [{"o": 10}, {"o": 11}]
    assert table.query("SELECT count() AS n, sum(extra) AS s FROM events") == [{"n": 12, "s": 84}]
    assert table.query("SELECT count() AS n FROM ledger WHERE stage = 'sink'") != [{"n": 0}]
    table.execute("ALTER TABLE events DROP INDEX users, DROP COLUMN extra")


def test_too_little_space_changes_nothing(table: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    query = ClickHouse.query

    def full(self: ClickHouse, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        return [{"needed": 2e12, "free": 1e12}] if "system.disks" in sql else query(self, sql, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(ClickHouse, "query", full)
        with pytest.raises(MigrationError, match=r"2000\.0 GB to copy, and ClickHouse has 1000\.0 GB left"):
            change(table, MONTH)
    ClickHouseSink(table).insert([block(range(10, 12))], valid_lease)

    assert rows(table) == list(range(12))
