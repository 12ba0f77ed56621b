"""The protections of a pass on the engine, each with its control: without it, rows count twice or by a stranger."""

from __future__ import annotations

import secrets
import threading
from collections import Counter as Counts

import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import UnavailableError
from processors.sink import catalog_statement
from processors.sink.catalog_statement import Pass
from processors.sink.catalog_store import ClickHouseCatalog
from schemas.settings import ClickHouseSettings
from tests.contracts.catalogs import OF_EVENTS, CatalogCase, Owner, read_catalog, rows_of
from tests.contracts.sinks import ended_lease
from tests.support.catalog_model import expected

pytestmark = pytest.mark.services
ROWS = rows_of({"a": 1}, {"a": "x", "b": [1]})
ONCE = expected(ROWS)
TWICE = Counts({entry: 2 * count for entry, count in ONCE.items()})
conditions = catalog_statement._unless
with_and_without = pytest.mark.parametrize("is_protected", [True, False], ids=["protected", "control"])


def in_time(counted: Pass, deadline: float) -> str:
    """Return the conditions of a pass without that of its number."""
    return conditions(counted, deadline).partition(" AND ")[0]


@with_and_without
def test_condition_stops_a_late_pass_whose_token_is_forgotten(
    clickhouse_catalog: CatalogCase,
    clickhouse_client: ClickHouse,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_protected: bool,
) -> None:
    clickhouse_client.execute("ALTER TABLE catalog_counts MODIFY SETTING non_replicated_deduplication_window = 0")
    clickhouse_catalog.write(ROWS)
    late = Owner(clickhouse_catalog)
    lag = late.counter.look()
    Owner(clickhouse_catalog).finish()
    if not is_protected:
        monkeypatch.setattr(catalog_statement, "_unless", in_time)
    late.counter.count(lag)

    assert clickhouse_catalog.read() == (ONCE if is_protected else TWICE)


@with_and_without
def test_token_stores_one_of_two_passes_that_run_at_once(
    clickhouse_catalog: CatalogCase,
    clickhouse_settings: ClickHouseSettings,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_protected: bool,
) -> None:
    """Both conditions are evaluated before either pass is stored: the statements take a second longer."""
    monkeypatch.setattr(
        catalog_statement, "_unless", lambda counted, deadline: f"sleep(1) = 0 AND {conditions(counted, deadline)}"
    )
    if not is_protected:
        monkeypatch.setattr(catalog_statement.Pass, "token", property(lambda counted: secrets.token_hex(4)))  # noqa: ARG005
    clickhouse_catalog.write(ROWS)
    owners = [Owner(clickhouse_catalog), Owner(clickhouse_catalog)]
    clients = [ClickHouse(clickhouse_settings) for _ in owners]
    for owner, client in zip(owners, clients, strict=True):
        owner.store._store = ClickHouseCatalog(client)
    lags = [owner.counter.look() for owner in owners]
    threads = [
        threading.Thread(target=owner.counter.count, args=[lag]) for owner, lag in zip(owners, lags, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for client in clients:
        client.close()

    assert [len(owner.store.counted) for owner in owners] == [1, 1]
    assert clickhouse_catalog.read() == (ONCE if is_protected else TWICE)


@with_and_without
def test_lease_lets_a_worker_without_its_partitions_store_nothing(
    clickhouse_catalog: CatalogCase, monkeypatch: pytest.MonkeyPatch, *, is_protected: bool
) -> None:
    clickhouse_catalog.write(ROWS)
    if not is_protected:
        monkeypatch.setattr(
            catalog_statement, "_unless", lambda counted, _: conditions(counted, deadline=4_000_000_000.0)
        )
    stranger = Owner(clickhouse_catalog, ended_lease)
    if is_protected:
        with pytest.raises(UnavailableError):
            stranger.count()
    else:
        stranger.count()

    assert clickhouse_catalog.read() == ({} if is_protected else ONCE)


@with_and_without
def test_one_statement_stores_counts_with_positions(
    clickhouse_catalog: CatalogCase,
    clickhouse_client: ClickHouse,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_protected: bool,
) -> None:
    """The control stores the counts without the positions, as an interruption between two statements would."""
    clickhouse_catalog.write(ROWS)
    if not is_protected:
        monkeypatch.setattr(
            catalog_statement,
            "_with_positions",
            lambda counted, _: catalog_statement._counts(counted, catalog_statement.rows_of(counted.ranges)),
        )
    Owner(clickhouse_catalog).count()
    monkeypatch.undo()
    Owner(clickhouse_catalog).finish()

    assert read_catalog(clickhouse_client) == (ONCE if is_protected else TWICE)


def test_pass_is_one_part(clickhouse_catalog: CatalogCase, clickhouse_client: ClickHouse) -> None:
    clickhouse_client.execute("SYSTEM STOP MERGES catalog_counts")
    many = [row for at in range(60) for row in rows_of({f"n{at}-{name}": 1 for name in range(50)}, first=at)]
    clickhouse_catalog.write(many)
    Owner(clickhouse_catalog).finish()
    [parts] = clickhouse_client.query(
        "SELECT count() AS number, sum(rows) AS rows FROM system.parts"
        " WHERE active AND database = currentDatabase() AND table = 'catalog_counts'"
    )

    assert (int(parts["number"]), int(parts["rows"])) == (1, 60 * 50 + 2)
    assert int(clickhouse_client.query("SELECT max(_pass) AS n FROM catalog_counts")[0]["n"]) == 1


def test_traits_of_identifies_are_counted(clickhouse_client: ClickHouse) -> None:
    clickhouse_client.execute(
        "INSERT INTO identifies (project_id, user_id, message_id, timestamp, received_at, traits, traits_null_keys,"
        " _log, _partition, _origin) SELECT 'p', 'u', toString(number), now(), now(), '{\"plan\":\"pro\",\"n\":1}',"
        " ['gone', 'list[]'], 1, number % 2, number FROM numbers(4)"
    )
    store = ClickHouseCatalog(clickhouse_client)
    [traits] = [source for source in catalog_statement.SOURCES if source is not OF_EVENTS]
    counted = Pass(traits, 0, 1, [catalog_statement.Range(1, number, 0, 9) for number in range(2)])
    store.count(counted, 4_000_000_000.0, "")

    assert read_catalog(clickhouse_client, "trait") == {
        ("p", "", path, word): 4
        for path, word in [("", ""), ("plan", "text"), ("n", "integer"), ("gone", "null"), ("list[]", "null")]
    }
    assert store.state(traits).positions == {(1, 0): 9, (1, 1): 9}
    assert store.state(OF_EVENTS).positions == {}
