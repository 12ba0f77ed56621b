"""Properties with tens of thousands of names on an embedded server that may open 1,024 files, not one more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.clickhouse.migrate import migrate
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, item_rows
from schemas.clickhouse import EVENTS, IDENTIFIES, Table
from tests.benchmarks.names import STORAGES, NamedRows
from tests.contracts.sinks import valid_lease
from tests.support import services
from tests.support.records import event_read, track
from tests.support.table_ddl import added_columns

HARD_LIMIT = 1_024
FEW_FILES = 32
"""Files that the parts of a table may have, whatever its rows are. A part of the default storage has hundreds."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Service]:
    """A server with a soft limit of 256 open files and the hard limit."""
    made = services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))
    limits = f'ulimit -Sn 256 && ulimit -Hn {HARD_LIMIT} && exec "$@"'
    with services.running(replace(made, command=lambda: ["sh", "-c", limits, "sh", *made.command()])) as running:
        yield running


@pytest.fixture
def client(service: services.Service) -> Iterator[ClickHouse]:
    """The tables of the product."""
    settings = services.clickhouse_settings(service.address)
    migrate(settings)
    made = ClickHouse(settings)
    for table in (EVENTS, IDENTIFIES):
        made.execute(f"TRUNCATE TABLE {table.name}")
    yield made
    made.close()


def files(client: ClickHouse, table: Table) -> int:
    """Return the number of files of *table* after all of its parts are merged into one."""
    client.execute(f"OPTIMIZE TABLE {table.name} FINAL")
    [parts] = client.query(
        "SELECT sum(files) AS files, count() AS parts FROM system.parts"
        " WHERE active AND database = currentDatabase() AND table = {table:String}",
        {"table": table.name},
    )
    assert int(parts["parts"]) == 1
    return int(parts["files"])


def count(client: ClickHouse, table: Table) -> int:
    return int(client.query(f"SELECT count() AS n FROM {table.name}")[0]["n"])  # noqa: S608


def heavy(offset: int) -> bytes:
    """Return properties of 11 arrays, each with an object of 250 names of its own."""
    return json.dumps({f"list{at}": [{f"k{offset}_{at}_{n}": 1 for n in range(250)}] for at in range(11)}).encode()


def test_server_raises_its_limit_of_open_files_to_the_hard_limit(service: services.Service) -> None:
    assert psutil.Process(service.pid).rlimit(psutil.RLIMIT_NOFILE) == (HARD_LIMIT, HARD_LIMIT)


@pytest.mark.parametrize(
    ("shape", "table"),
    [("properties", EVENTS), ("arrays", EVENTS), ("traits", IDENTIFIES)],
    ids=["properties", "arrays", "traits"],
)
def test_any_number_of_names_is_stored_in_few_files(client: ClickHouse, shape: str, table: Table) -> None:
    sink = ClickHouseSink(client)
    for block in NamedRows(shape, 60_000).blocks(table, 40_000):
        sink.insert([block], valid_lease)

    assert files(client, table) < FEW_FILES
    assert count(client, table) == 40_000


def test_arrays_of_objects_with_many_names_are_stored_in_few_files(client: ClickHouse) -> None:
    records = [event_read(at, track(f"m{at}", properties=heavy(at)), source_offset=at) for at in range(150)]
    ClickHouseSink(client).insert([Block(EVENTS, 0, item_rows(records, 1, 0).events)], valid_lease)

    assert files(client, EVENTS) < FEW_FILES
    assert count(client, EVENTS) == 150


def test_default_storage_needs_more_files_than_the_limit(client: ClickHouse) -> None:
    """The control: the same rows, without what the product's tables set."""
    default = STORAGES[0]
    client.execute("DROP TABLE events SYNC")
    try:
        for statement in (default.ddl(EVENTS), *added_columns(EVENTS.name)):
            client.execute(statement)
        [block, *_] = NamedRows("properties", 60_000).blocks(default.table(EVENTS), 3_000)
        with pytest.raises(ClickHouseError, match="Too many open files"):
            ClickHouseSink(client).insert([block], valid_lease)
    finally:
        client.execute("DROP TABLE events SYNC")
        client.execute("DROP TABLE schema_migrations SYNC")
