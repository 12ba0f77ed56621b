"""A process that is killed during passes of the catalogue counts each row once, and its control does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from processors.clickhouse.client import ClickHouse
from processors.sink.catalog_counter import Counter
from processors.sink.catalog_statement import SOURCES
from processors.sink.catalog_store import ClickHouseCatalog
from tests.contracts.catalogs import read_catalog, write_events
from tests.contracts.sinks import valid_lease
from tests.support import databases, services
from tests.support.catalog_model import Row, expected

KILLS = 8
ROWS = 40


@pytest.fixture
def database(clickhouse: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A server and a database of one test."""
    name = f"kill_{abs(hash(request.node.name)) % 10**8}"
    settings = services.clickhouse_settings(clickhouse, name)
    databases.create(settings)
    yield clickhouse, name
    client = ClickHouse(settings)
    client.execute(f"DROP DATABASE {name}")
    client.close()


def kill_at_its_first_line(url: str, name: str, *arguments: str) -> str:
    """Run a process that counts, kill it when it has printed a line, and return the line."""
    command = [sys.executable, "-m", "tests.support.catalog_process", url, name, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    return line


def finish(client: ClickHouse) -> None:
    counter = Counter(SOURCES[0], ClickHouseCatalog(client), valid_lease)
    while (lag := counter.look()).ranges:
        counter.count(lag)


def test_kills_during_passes_count_no_row_twice(database: tuple[str, str]) -> None:
    client = ClickHouse(services.clickhouse_settings(*database))
    rows: list[Row] = []
    for kill in range(KILLS):
        written = [
            Row(at % 2, kill * ROWS + at, "Viewed", {"a": at, f"n{at % 5}": "x"}, project="p") for at in range(ROWS)
        ]
        write_events(client, written)
        rows += written
        assert kill_at_its_first_line(*database).startswith("pass ")
    finish(client)
    found = read_catalog(client)
    client.close()

    assert found == expected(rows)


def test_control_that_stores_a_pass_in_two_statements_counts_rows_twice(database: tuple[str, str]) -> None:
    client = ClickHouse(services.clickhouse_settings(*database))
    rows = [Row(0, at, "Viewed", {"a": at}, project="p") for at in range(ROWS)]
    write_events(client, rows)
    assert kill_at_its_first_line(*database, "split").startswith("between ")
    finish(client)
    found = read_catalog(client)
    client.close()

    assert found["p", "Viewed", "", ""] == 2 * ROWS
