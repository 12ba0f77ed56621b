"""What every sink promises, the fake and the real one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import LeaseLostError, RefusedRowsError
from processors.clickhouse.migrate import migrate
from processors.events.rows import Block, Row, blocks, item_rows, person_rows
from processors.events.sink import BlockWriter, ClickHouseSink, Sink
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS, TABLES, Table
from schemas.persons import encode_person, fold
from schemas.settings import ClickHouseSettings
from tests.fakes.sink import MemorySink
from tests.records import ReadRecord, event_read, identify, track


@dataclass
class World:
    """A sink, and what can be read of its tables: partition and origin of each row, sorted."""

    sink: Sink
    stored: Callable[[Table], list[tuple[int, int]]]


def held() -> float:
    return time.monotonic() + 10


def ended() -> float:
    return time.monotonic() - 1


@pytest.fixture
def memory_world() -> World:
    fake = MemorySink()
    return World(fake, lambda table: sorted((row.partition, row.origin) for row in fake.rows[table.name]))


@pytest.fixture
def clickhouse_world(clickhouse: str) -> Iterator[World]:
    settings = ClickHouseSettings(url=clickhouse, database=f"test_{secrets.token_hex(4)}")
    migrate(settings)
    client = ClickHouse(settings)
    for table in TABLES:
        client.execute(f"SYSTEM STOP MERGES {settings.database}.{table.name}")

    def stored(table: Table) -> list[tuple[int, int]]:
        rows = client.query(f"SELECT _partition AS p, _origin AS o FROM {table.name} ORDER BY p, o")
        return [(int(row["p"]), int(row["o"])) for row in rows]

    yield World(ClickHouseSink(client), stored)
    client.execute(f"DROP DATABASE {settings.database}")
    client.close()


@pytest.fixture(params=["memory_world", "clickhouse_world"])
def world(request: pytest.FixtureRequest) -> World:
    chosen: World = request.getfixturevalue(request.param)
    return chosen


def tracks(origins: range, partition: int = 0) -> list[Row]:
    """Return a row of `events` for each of *origins*."""
    records = [event_read(origin, track(f"m{partition}-{origin}"), origin=origin) for origin in origins]
    return list(item_rows(records, partition).events)


def block(origins: range, partition: int = 0) -> Block:
    return Block(EVENTS, partition, tracks(origins, partition))


def places(origins: range, partition: int = 0) -> list[tuple[int, int]]:
    return [(partition, origin) for origin in origins]


def refused(row: Row) -> Row:
    """Return *row* with a time that is none."""
    return msgspec.structs.replace(row, timestamp="never")


def test_a_table_without_rows_has_no_positions(world: World) -> None:
    assert [world.sink.positions(table, range(8)) for table in TABLES] == [{}, {}, {}]


def test_positions_are_the_highest_origins_of_the_partitions_asked_for(world: World) -> None:
    world.sink.insert(block(range(5), partition=0), held)
    world.sink.insert(block(range(5, 9), partition=0), held)
    world.sink.insert(block(range(3), partition=2), held)

    assert world.sink.positions(EVENTS, [0, 1, 2]) == {0: 8, 2: 2}
    assert world.sink.positions(EVENTS, [1, 2]) == {2: 2}
    assert world.sink.positions(IDENTIFIES, [0, 1, 2]) == {}


def test_a_block_of_fifty_thousand_rows_is_there_whole(world: World) -> None:
    world.sink.insert(block(range(50_000)), held)

    assert world.stored(EVENTS) == places(range(50_000))


def test_identifies_and_persons_have_positions_of_their_own(world: World) -> None:
    seen = identify("i", traits=b'{"plan":"pro"}')
    state = ReadRecord(41, b"p/u", encode_person(fold(None, seen)))
    world.sink.insert(Block(IDENTIFIES, 1, item_rows([event_read(0, seen, origin=7)], 1).identifies), held)
    world.sink.insert(Block(PERSONS, 3, person_rows([state], 3)[0]), held)

    assert world.sink.positions(EVENTS, range(4)) == {}
    assert world.sink.positions(IDENTIFIES, range(4)) == {1: 7}
    assert world.sink.positions(PERSONS, range(4)) == {3: 41}


def test_the_same_block_twice_is_there_once(world: World) -> None:
    world.sink.insert(block(range(10)), held)
    world.sink.insert(block(range(10)), held)

    assert world.stored(EVENTS) == places(range(10))


def test_a_refused_row_keeps_its_whole_block_out(world: World) -> None:
    rows = tracks(range(100))
    rows[57] = refused(rows[57])

    with pytest.raises(RefusedRowsError):
        world.sink.insert(Block(EVENTS, 0, rows), held)

    assert world.stored(EVENTS) == []


def test_after_the_lease_has_ended_nothing_is_written(world: World) -> None:
    world.sink.insert(block(range(3)), held)

    with pytest.raises(LeaseLostError):
        world.sink.insert(block(range(3, 9)), ended)

    assert world.stored(EVENTS) == places(range(3))


def test_a_block_that_is_there_needs_no_lease(world: World) -> None:
    world.sink.insert(block(range(3)), held)

    world.sink.insert(block(range(3)), ended)

    assert world.stored(EVENTS) == places(range(3))


def test_rows_of_two_months_are_two_blocks_and_all_there(world: World) -> None:
    rows = [
        msgspec.structs.replace(row, received_at=f"2026-0{1 + row.origin // 5}-28T00:00:00.000000Z")
        for row in tracks(range(10))
    ]
    made = list(blocks(EVENTS, rows, 0, -1))
    for each in made:
        world.sink.insert(each, held)

    assert [(each.first, each.last) for each in made] == [(0, 4), (5, 9)]
    assert world.stored(EVENTS) == places(range(10))


def test_a_writer_learns_after_a_restart_where_it_stands(world: World) -> None:
    before = BlockWriter(world.sink, held)
    before.learn(EVENTS, [0, 1])
    before.write(block(range(6)))

    after = BlockWriter(world.sink, held)
    assert after.learn(EVENTS, [0, 1]) == {0: 5, 1: -1}
    for each in blocks(EVENTS, tracks(range(3, 12)), 0, after.position(EVENTS, 0)):
        after.write(each)

    assert world.stored(EVENTS) == places(range(12))
    assert after.position(EVENTS, 0) == 11


@pytest.mark.parametrize("written", [True, False])
def test_a_writer_that_was_told_nothing_finds_out_what_is_missing(world: World, written: bool) -> None:  # noqa: FBT001
    writer = BlockWriter(world.sink, held)
    writer.learn(EVENTS, [0])
    if written:
        world.sink.insert(block(range(8)), held)

    writer.recover(block(range(8)))

    assert writer.position(EVENTS, 0) == (7 if written else -1)
    for each in blocks(EVENTS, tracks(range(8)), 0, writer.position(EVENTS, 0)):
        writer.write(each)
    assert world.stored(EVENTS) == places(range(8))


def test_settling_a_partition_where_nothing_runs_returns(world: World) -> None:
    world.sink.insert(block(range(8)), held)

    world.sink.settle(EVENTS, [0, 1])
