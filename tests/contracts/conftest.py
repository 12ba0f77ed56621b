"""Fixtures of the sink's contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from processors.clickhouse.client import ClickHouse
from processors.sink.catalog_store import ClickHouseCatalog
from processors.sink.insert import ClickHouseSink
from schemas.clickhouse import TABLES, Table
from schemas.settings import ClickHouseSettings
from tests.contracts.catalogs import CatalogCase, read_catalog, write_events
from tests.contracts.sinks import SinkCase
from tests.fakes.catalog import MemoryCatalog
from tests.fakes.sink import MemorySink
from tests.support import databases
from tests.support.clickhouse_http import ClickHouseHttp


@pytest.fixture
def clickhouse_settings(clickhouse: str) -> Iterator[ClickHouseSettings]:
    """A database for one test, with merges stopped."""
    with databases.database(clickhouse) as settings:
        writer = ClickHouseHttp.of(settings)
        for table in TABLES:
            writer.query(f"SYSTEM STOP MERGES {table.name}")
        yield settings


@pytest.fixture
def clickhouse_client(clickhouse_settings: ClickHouseSettings) -> Iterator[ClickHouse]:
    client = ClickHouse(clickhouse_settings)
    yield client
    client.close()


@pytest.fixture
def memory_sink() -> SinkCase:
    fake = MemorySink()

    def stored(table: Table) -> list[tuple[int, int]]:
        return sorted((row.partition, row.source_offset) for row in fake.rows[table.name])

    def remove_above(table: Table, source_offset: int) -> None:
        fake.rows[table.name] = [row for row in fake.rows[table.name] if row.source_offset <= source_offset]

    return SinkCase(fake, stored, remove_above)


@pytest.fixture
def clickhouse_sink(clickhouse_client: ClickHouse) -> SinkCase:
    def stored(table: Table) -> list[tuple[int, int]]:
        sql = f"SELECT _partition AS p, _origin AS o FROM {table.name} ORDER BY p, o"  # noqa: S608
        return [(int(row["p"]), int(row["o"])) for row in clickhouse_client.query(sql)]

    def remove_above(table: Table, source_offset: int) -> None:
        # Without merges a DELETE does not end.
        clickhouse_client.execute(f"SYSTEM START MERGES {table.name}")
        clickhouse_client.execute(f"DELETE FROM {table.name} WHERE _origin > {source_offset}")  # noqa: S608

    return SinkCase(ClickHouseSink(clickhouse_client), stored, remove_above)


@pytest.fixture(params=["memory_sink", pytest.param("clickhouse_sink", marks=pytest.mark.services)])
def sink_case(request: pytest.FixtureRequest) -> SinkCase:
    chosen: SinkCase = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def memory_catalog() -> CatalogCase:
    fake = MemoryCatalog()

    def reset() -> None:
        fake.__init__()  # type: ignore[misc]  # the counters of the case keep the object

    def begin_generation() -> None:
        fake.generation += 1

    return CatalogCase(
        fake, fake.rows_written, lambda: fake.counts, lambda: None, reset, begin_generation, fake.forget_last_pass
    )


@pytest.fixture
def clickhouse_catalog(clickhouse_client: ClickHouse) -> CatalogCase:
    store = ClickHouseCatalog(clickhouse_client)

    def merge() -> None:
        clickhouse_client.execute("SYSTEM START MERGES events")
        clickhouse_client.execute("OPTIMIZE TABLE events FINAL")
        clickhouse_client.execute("SYSTEM STOP MERGES events")
        clickhouse_client.execute("OPTIMIZE TABLE catalog_counts FINAL")

    def reset() -> None:
        clickhouse_client.execute("TRUNCATE TABLE events")
        store.begin_generation()

    def lose_last_pass() -> None:
        clickhouse_client.execute("ALTER TABLE catalog_counts DELETE WHERE _pass = 1", None, {"mutations_sync": 1})

    return CatalogCase(
        store,
        lambda rows: write_events(clickhouse_client, rows),
        lambda: read_catalog(clickhouse_client),
        merge,
        reset,
        store.begin_generation,
        lose_last_pass,
    )


@pytest.fixture(params=["memory_catalog", pytest.param("clickhouse_catalog", marks=pytest.mark.services)])
def catalog_case(request: pytest.FixtureRequest) -> CatalogCase:
    chosen: CatalogCase = request.getfixturevalue(request.param)
    return chosen
