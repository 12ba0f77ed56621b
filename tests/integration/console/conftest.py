"""Tables that the console reads, on one server for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.console.tables import LimitedClickHouse
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from schemas.clickhouse import TABLES
from schemas.settings import ClickHouseSettings
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.console_rows import Rows
from tests.support.services import ANALYST_PASSWORD, clickhouse_settings, embedded_clickhouse, running


@pytest.fixture(scope="package")
def console_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseSettings]:
    """A server for the tests that ask as the console does."""
    with running(embedded_clickhouse(tmp_path_factory.mktemp("console") / "clickhouse")) as service:
        settings = clickhouse_settings(service.address)
        migrate(settings)
        yield settings


@pytest.fixture
def rows(console_engine: ClickHouseSettings) -> Rows:
    """The tables of the console's server, without the rows of the test before."""
    client = ClickHouseHttp.of(console_engine)
    filled = client.rows("SELECT name FROM system.tables WHERE database = currentDatabase() AND total_rows > 0")
    for name in {*(table.name for table in TABLES), "catalog_counts"} & {row["name"] for row in filled}:
        client.query(f"TRUNCATE TABLE {name}")
    return Rows(console_engine)


@pytest.fixture(scope="package")
def writer(console_engine: ClickHouseSettings) -> Iterator[ClickHouse]:
    """The connection of a process that may write."""
    client = ClickHouse(console_engine)
    yield client
    client.close()


@pytest.fixture(scope="package")
def console_tables(console_engine: ClickHouseSettings) -> Iterator[LimitedClickHouse]:
    """The connection of the console."""
    reading = ClickHouseSettings(console_engine.url, "analyst", ANALYST_PASSWORD, database=console_engine.database)
    connection = LimitedClickHouse(reading)
    yield connection
    connection.close()


@pytest.fixture
def tables(rows: Rows, console_tables: LimitedClickHouse) -> LimitedClickHouse:
    """The connection of the console to these tables."""
    assert rows.settings.database == console_tables.database
    return console_tables
