"""A pass that does not wait for a large merge reads few rows again, on the engine; the control waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.engine.metrics import WorkerMetrics
from processors.sink import catalog_store
from processors.sink.catalog import LOOK_SECONDS, PAUSE_SECONDS, CountedTable
from processors.sink.catalog_counter import Lag
from processors.sink.catalog_store import ClickHouseCatalog
from schemas.settings import ClickHouseSettings
from tests.contracts.catalogs import OF_EVENTS, CatalogCase, Owner, rows_of
from tests.support.catalog_model import expected
from tests.support.services import eventually

pytestmark = pytest.mark.services
COUNTED = 60
"""Rows that are counted before the merge."""


@pytest.fixture(autouse=True)
def small_merge_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_store, "MIXED_ROWS", COUNTED // 2)


@contextmanager
def slow_merge(clickhouse: ClickHouse, settings: ClickHouseSettings) -> Iterator[None]:
    """Merge all parts of `events` during the block; the merge takes two seconds, and has ended after the block."""
    clickhouse.execute("ALTER TABLE events ADD INDEX slow sleepEachRow(0.03) TYPE minmax")
    clickhouse.execute("SYSTEM START MERGES events")
    other = ClickHouse(settings, answer_seconds=60)
    thread = threading.Thread(target=other.execute, args=["OPTIMIZE TABLE events FINAL"])
    thread.start()
    running = "SELECT 1 AS value FROM system.merges WHERE database = currentDatabase() AND table = 'events'"
    eventually(lambda: bool(clickhouse.query(running)), "the merge begins", every_seconds=0.05)
    try:
        yield
    finally:
        thread.join(60)
        other.close()


def counted_rows(case: CatalogCase) -> int:
    """Write rows and count them; return their number."""
    rows = rows_of(*({"a": at} for at in range(COUNTED)))
    for at in range(0, COUNTED, COUNTED // 2):
        case.write(rows[at : at + COUNTED // 2])
    Owner(case).finish()
    return len(rows)


@pytest.mark.parametrize("is_asked", [True, False], ids=["asked", "control"])
def test_new_row_is_counted_before_a_merge_puts_it_beside_counted_ones(
    clickhouse_catalog: CatalogCase,
    clickhouse_client: ClickHouse,
    clickhouse_settings: ClickHouseSettings,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_asked: bool,
) -> None:
    case = clickhouse_catalog
    counted_rows(case)
    if not is_asked:
        monkeypatch.setattr(ClickHouseCatalog, "is_mixing", lambda *_: False)
    metrics = WorkerMetrics()
    table = CountedTable(Owner(case).counter, metrics)
    case.write(rows_of({"b": 1}, first=COUNTED))
    table.run(100.0)
    table.run(100.0 + LOOK_SECONDS)
    case.write(rows_of({"b": 2}, first=COUNTED + 1))
    read = read_rows(metrics)
    with slow_merge(clickhouse_client, clickhouse_settings):
        table.run(100.0 + 2 * LOOK_SECONDS)
        if is_asked:
            assert case.read()["p", "Viewed", "b", "integer"] == 2
    table.run(100.0 + LOOK_SECONDS + PAUSE_SECONDS)

    written = [*({"a": at} for at in range(COUNTED)), {"b": 1}, {"b": 2}]
    assert case.read() == expected(rows_of(*written))
    assert (read_rows(metrics) - read < COUNTED) is is_asked


def read_rows(metrics: WorkerMetrics) -> float:
    return metrics.registry.get_sample_value("sequence_sink_catalog_read_rows_total", {"kind": "event"}) or 0.0


def test_merge_of_counted_rows_alone_begins_no_pass(
    clickhouse_catalog: CatalogCase, clickhouse_client: ClickHouse, clickhouse_settings: ClickHouseSettings
) -> None:
    case = clickhouse_catalog
    counted_rows(case)
    with slow_merge(clickhouse_client, clickhouse_settings):
        # The merge began without this row.
        case.write(rows_of({"b": 1}, first=COUNTED))
        owner = Owner(case)
        assert not owner.counter.is_mixing(owner.counter.look())


def test_small_merge_begins_no_pass(
    clickhouse_catalog: CatalogCase,
    clickhouse_client: ClickHouse,
    clickhouse_settings: ClickHouseSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = clickhouse_catalog
    monkeypatch.setattr(catalog_store, "MIXED_ROWS", COUNTED + 1)
    counted_rows(case)
    case.write(rows_of({"b": 1}, first=COUNTED))
    owner = Owner(case)
    lag: Lag = owner.counter.look()
    with slow_merge(clickhouse_client, clickhouse_settings):
        assert not owner.counter.is_mixing(lag)
        monkeypatch.setattr(catalog_store, "MIXED_ROWS", COUNTED)
        assert owner.counter.is_mixing(lag)


def test_user_who_may_not_read_merges_waits(
    clickhouse_catalog: CatalogCase, clickhouse_client: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    clickhouse_catalog.write(rows_of({"a": 1}))
    store = ClickHouseCatalog(clickhouse_client)
    lag = Owner(clickhouse_catalog).counter.look()

    def refused(*_: object) -> list[dict[str, object]]:
        raise ClickHouseError("Code: 497. DB::Exception: Not enough privileges (ACCESS_DENIED)", 497)

    monkeypatch.setattr(clickhouse_client, "query", refused)
    assert not store.is_mixing(OF_EVENTS, lag.ranges)
