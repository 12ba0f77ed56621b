"""What every sink promises, the fake and the real one."""

from __future__ import annotations

import msgspec
import pytest

from processors.clickhouse.errors import LeaseLostError, RefusedRowsError
from processors.sink.rows import Block, blocks, item_rows, person_rows
from processors.sink.writer import BlockWriter
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS, TABLES
from schemas.persons import encode_person, fold
from tests.contracts.sinks import SinkWorld, block, ended, held, places, refused, tracks
from tests.support.records import SlimRecord, event_read, identify


@pytest.fixture
def world(sink_world: SinkWorld) -> SinkWorld:
    return sink_world


def test_a_table_without_rows_has_no_positions(world: SinkWorld) -> None:
    assert [world.sink.positions(table, range(8)) for table in TABLES] == [{}, {}, {}]


def test_positions_are_the_highest_origins_of_the_partitions_asked_for(world: SinkWorld) -> None:
    world.sink.insert([block(range(5), partition=0)], held)
    world.sink.insert([block(range(5, 9), partition=0)], held)
    world.sink.insert([block(range(3), partition=2)], held)

    assert world.sink.positions(EVENTS, [0, 1, 2]) == {0: 8, 2: 2}
    assert world.sink.positions(EVENTS, [1, 2]) == {2: 2}
    assert world.sink.positions(IDENTIFIES, [0, 1, 2]) == {}


def test_a_block_of_fifty_thousand_rows_is_there_whole(world: SinkWorld) -> None:
    world.sink.insert([block(range(50_000))], held)

    assert world.stored(EVENTS) == places(range(50_000))


def test_identifies_and_persons_have_positions_of_their_own(world: SinkWorld) -> None:
    seen = identify("i", traits=b'{"plan":"pro"}')
    state = SlimRecord(41, b"p/u", encode_person(fold(None, seen)))
    world.sink.insert([Block(IDENTIFIES, 1, item_rows([event_read(0, seen, origin=7)], 1).identifies)], held)
    world.sink.insert([Block(PERSONS, 3, person_rows([state], 3)[0])], held)

    assert world.sink.positions(EVENTS, range(4)) == {}
    assert world.sink.positions(IDENTIFIES, range(4)) == {1: 7}
    assert world.sink.positions(PERSONS, range(4)) == {3: 41}


def test_the_same_block_twice_is_there_once(world: SinkWorld) -> None:
    world.sink.insert([block(range(10))], held)
    world.sink.insert([block(range(10))], held)

    assert world.stored(EVENTS) == places(range(10))


def test_a_refused_row_keeps_its_whole_block_out(world: SinkWorld) -> None:
    rows = tracks(range(100))
    rows[57] = refused(rows[57])

    with pytest.raises(RefusedRowsError):
        world.sink.insert([Block(EVENTS, 0, rows)], held)

    assert world.stored(EVENTS) == []


def test_blocks_of_several_partitions_are_there_together(world: SinkWorld) -> None:
    world.sink.insert([block(range(5), partition=1), block(range(3), partition=3)], held)

    assert world.stored(EVENTS) == [*places(range(5), 1), *places(range(3), 3)]
    assert world.sink.positions(EVENTS, range(4)) == {1: 4, 3: 2}


def test_a_refused_row_keeps_blocks_of_other_partitions_out_too(world: SinkWorld) -> None:
    with pytest.raises(RefusedRowsError):
        world.sink.insert(
            [block(range(5), partition=1), Block(EVENTS, 3, [refused(row) for row in tracks(range(3), 3)])], held
        )

    assert world.stored(EVENTS) == []


def test_after_the_lease_has_ended_nothing_is_written(world: SinkWorld) -> None:
    world.sink.insert([block(range(3))], held)

    with pytest.raises(LeaseLostError):
        world.sink.insert([block(range(3, 9))], ended)

    assert world.stored(EVENTS) == places(range(3))


def test_a_block_that_is_there_needs_no_lease(world: SinkWorld) -> None:
    world.sink.insert([block(range(3))], held)

    world.sink.insert([block(range(3))], ended)

    assert world.stored(EVENTS) == places(range(3))


def test_rows_of_two_months_are_two_blocks_and_all_there(world: SinkWorld) -> None:
    rows = [
        msgspec.structs.replace(row, received_at=f"2026-0{1 + row.origin // 5}-28T00:00:00.000000Z")
        for row in tracks(range(10))
    ]
    made = list(blocks(EVENTS, rows, 0, -1))
    for each in made:
        world.sink.insert([each], held)

    assert [(each.first, each.last) for each in made] == [(0, 4), (5, 9)]
    assert world.stored(EVENTS) == places(range(10))


def test_a_writer_learns_after_a_restart_where_it_stands(world: SinkWorld) -> None:
    before = BlockWriter(world.sink, held)
    before.learn(EVENTS, [0, 1])
    before.write([block(range(6))])

    after = BlockWriter(world.sink, held)
    assert after.learn(EVENTS, [0, 1]) == {0: 5, 1: -1}
    for each in blocks(EVENTS, tracks(range(3, 12)), 0, after.position(EVENTS, 0)):
        after.write([each])

    assert world.stored(EVENTS) == places(range(12))
    assert after.position(EVENTS, 0) == 11


@pytest.mark.parametrize("written", [True, False])
def test_a_writer_that_was_told_nothing_finds_out_what_is_missing(world: SinkWorld, written: bool) -> None:  # noqa: FBT001
    writer = BlockWriter(world.sink, held)
    writer.learn(EVENTS, [0])
    if written:
        world.sink.insert([block(range(8))], held)

    writer.recover(block(range(8)))

    assert writer.position(EVENTS, 0) == (7 if written else -1)
    for each in blocks(EVENTS, tracks(range(8)), 0, writer.position(EVENTS, 0)):
        writer.write([each])
    assert world.stored(EVENTS) == places(range(8))


def test_settling_a_partition_where_nothing_runs_returns(world: SinkWorld) -> None:
    world.sink.insert([block(range(8))], held)

    world.sink.settle(EVENTS, [0, 1])
