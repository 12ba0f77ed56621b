"""Contract of every sink, the fake and the real one."""

from __future__ import annotations

import msgspec
import pytest

from processors.clickhouse.errors import LeaseEndedError, RejectedRowsError
from processors.sink.positions import PositionReason
from processors.sink.rows import Block, blocks, item_rows, person_rows
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS, TABLES
from schemas.persons import encode_person, fold
from tests.contracts.sinks import (
    SinkCase,
    block,
    ended_lease,
    row_positions,
    table_writer,
    tracks,
    unstorable,
    valid_lease,
)
from tests.support.records import SlimRecord, event_read, identify


@pytest.fixture
def case(sink_case: SinkCase) -> SinkCase:
    return sink_case


def test_empty_tables_have_no_positions(case: SinkCase) -> None:
    assert [case.sink.positions(table, 1, range(8)) for table in TABLES] == [{}] * len(TABLES)


def test_positions_are_the_highest_source_offsets_of_the_given_partitions(case: SinkCase) -> None:
    case.sink.insert([block(range(5), partition=0)], valid_lease)
    case.sink.insert([block(range(5, 9), partition=0)], valid_lease)
    case.sink.insert([block(range(3), partition=2)], valid_lease)

    assert case.sink.positions(EVENTS, 1, [0, 1, 2]) == {0: 8, 2: 2}
    assert case.sink.positions(EVENTS, 1, [1, 2]) == {2: 2}
    assert case.sink.positions(IDENTIFIES, 1, [0, 1, 2]) == {}


def test_position_is_the_higher_one_of_rows_and_note(case: SinkCase) -> None:
    case.sink.insert([block(range(5), partition=0), block(range(5), partition=1)], valid_lease)
    case.sink.note_position(EVENTS, 1, 0, 9, PositionReason.REJECTED)
    case.sink.note_position(EVENTS, 1, 1, 2, PositionReason.KEPT)
    case.sink.note_position(EVENTS, 1, 2, 6, PositionReason.ACCEPTED_LOSS)

    assert case.sink.positions(EVENTS, 1, range(4)) == {0: 9, 1: 4, 2: 6}
    case.sink.insert([block(range(10, 12), partition=0)], valid_lease)
    assert case.sink.positions(EVENTS, 1, range(4)) == {0: 11, 1: 4, 2: 6}


def test_note_of_a_rejected_row_does_not_hide_the_loss_of_rows_before_it(case: SinkCase) -> None:
    case.sink.insert([block(range(9)), block(range(9), partition=1)], valid_lease)
    case.sink.note_position(EVENTS, 1, 0, 9, PositionReason.REJECTED)
    case.sink.note_position(EVENTS, 1, 1, 9, PositionReason.KEPT)
    case.remove_above(EVENTS, 4)

    assert case.sink.positions(EVENTS, 1, [0, 1]) == {0: 4, 1: 9}


def test_note_of_another_table_log_or_partition_is_no_position(case: SinkCase) -> None:
    case.sink.note_position(IDENTIFIES, 1, 0, 9, PositionReason.REJECTED)
    case.sink.note_position(EVENTS, 2, 0, 9, PositionReason.REJECTED)
    case.sink.note_position(EVENTS, 1, 1, 9, PositionReason.REJECTED)

    assert case.sink.positions(EVENTS, 1, [0]) == {}


def test_note_of_a_row_that_was_left_out_counts_while_the_rows_before_it_are_there(case: SinkCase) -> None:
    case.sink.insert([block(range(5))], valid_lease)
    case.sink.note_position(EVENTS, 1, 0, 9, PositionReason.ERASED)
    assert case.sink.positions(EVENTS, 1, [0]) == {0: 9}

    case.remove_above(EVENTS, 2)

    assert case.sink.positions(EVENTS, 1, [0]) == {0: 2}


def test_lower_or_repeated_note_does_not_lower_a_position(case: SinkCase) -> None:
    for position, reason in ((7, PositionReason.REJECTED), (3, PositionReason.REJECTED), (5, PositionReason.KEPT)):
        case.sink.note_position(EVENTS, 1, 0, position, reason)
    case.sink.note_position(EVENTS, 1, 0, 7, PositionReason.REJECTED)

    assert case.sink.positions(EVENTS, 1, [0]) == {0: 7}


def test_block_of_50000_rows_is_written_whole(case: SinkCase) -> None:
    case.sink.insert([block(range(50_000))], valid_lease)

    assert case.stored(EVENTS) == row_positions(range(50_000))


def test_each_table_has_its_own_positions(case: SinkCase) -> None:
    seen = identify("i", traits=b'{"plan":"pro"}')
    state = SlimRecord(41, b"p/u", encode_person(fold(None, seen)))
    case.sink.insert(
        [Block(IDENTIFIES, 1, item_rows([event_read(0, seen, source_offset=7)], 1, 1).identifies)], valid_lease
    )
    case.sink.insert([Block(PERSONS, 3, person_rows([state], 1, 3)[0])], valid_lease)

    assert case.sink.positions(EVENTS, 1, range(4)) == {}
    assert case.sink.positions(IDENTIFIES, 1, range(4)) == {1: 7}
    assert case.sink.positions(PERSONS, 1, range(4)) == {3: 41}


def test_repeated_block_is_written_once(case: SinkCase) -> None:
    case.sink.insert([block(range(10))], valid_lease)
    case.sink.insert([block(range(10))], valid_lease)

    assert case.stored(EVENTS) == row_positions(range(10))


def test_rejected_row_rejects_its_whole_block(case: SinkCase) -> None:
    rows = tracks(range(100))
    rows[57] = unstorable(rows[57])

    with pytest.raises(RejectedRowsError):
        case.sink.insert([Block(EVENTS, 0, rows)], valid_lease)

    assert case.stored(EVENTS) == []


def test_trying_a_table_or_rows_writes_nothing(case: SinkCase) -> None:
    case.sink.try_table(EVENTS)
    case.sink.try_rows(block(range(5)))

    assert case.stored(EVENTS) == []
    assert case.sink.positions(EVENTS, 1, [0]) == {}


def test_trying_rows_finds_a_value_that_cannot_be_parsed(case: SinkCase) -> None:
    rows = tracks(range(100))
    rows[57] = unstorable(rows[57])

    with pytest.raises(RejectedRowsError):
        case.sink.try_rows(Block(EVENTS, 0, rows))


def test_blocks_of_several_partitions_are_written_together(case: SinkCase) -> None:
    case.sink.insert([block(range(5), partition=1), block(range(3), partition=3)], valid_lease)

    assert case.stored(EVENTS) == [*row_positions(range(5), 1), *row_positions(range(3), 3)]
    assert case.sink.positions(EVENTS, 1, range(4)) == {1: 4, 3: 2}


def test_rejected_row_rejects_the_blocks_of_other_partitions_in_its_insert(case: SinkCase) -> None:
    with pytest.raises(RejectedRowsError):
        case.sink.insert(
            [block(range(5), partition=1), Block(EVENTS, 3, [unstorable(row) for row in tracks(range(3), 3)])],
            valid_lease,
        )

    assert case.stored(EVENTS) == []


def test_nothing_is_written_after_the_lease_has_ended(case: SinkCase) -> None:
    case.sink.insert([block(range(3))], valid_lease)

    with pytest.raises(LeaseEndedError):
        case.sink.insert([block(range(3, 9))], ended_lease)

    assert case.stored(EVENTS) == row_positions(range(3))


def test_block_that_is_already_written_needs_no_lease(case: SinkCase) -> None:
    case.sink.insert([block(range(3))], valid_lease)

    case.sink.insert([block(range(3))], ended_lease)

    assert case.stored(EVENTS) == row_positions(range(3))


def test_rows_of_two_weeks_are_written_as_two_blocks(case: SinkCase) -> None:
    rows = [
        msgspec.structs.replace(row, received_at=f"2026-01-2{5 + row.source_offset // 5}T00:00:00.000000Z")
        for row in tracks(range(10))
    ]
    made = list(blocks(EVENTS, rows, 0, -1))
    for each in made:
        case.sink.insert([each], valid_lease)

    assert [(each.first_offset, each.last_offset) for each in made] == [(0, 4), (5, 9)]
    assert case.stored(EVENTS) == row_positions(range(10))


async def test_restarted_writer_continues_at_the_positions_of_the_table(case: SinkCase) -> None:
    before = table_writer(case.sink)
    await before.load_positions([0, 1])
    await before.write_rows(tracks(range(6)), 0)

    after = table_writer(case.sink)
    assert await after.load_positions([0, 1]) == {0: 5, 1: -1}
    await after.write_rows(tracks(range(3, 12)), 0)

    assert case.stored(EVENTS) == row_positions(range(12))
    assert after.position(0) == 11


@pytest.mark.parametrize("written", [True, False])
async def test_writer_inserts_what_is_missing_after_an_unknown_outcome(case: SinkCase, written: bool) -> None:  # noqa: FBT001  # it is the value
    writer = table_writer(case.sink)
    await writer.load_positions([0])
    if written:
        case.sink.insert([block(range(8))], valid_lease)

    assert await writer.load_positions([0]) == {0: 7 if written else -1}

    assert writer.position(0) == (7 if written else -1)
    await writer.write_rows(tracks(range(8)), 0)
    assert case.stored(EVENTS) == row_positions(range(8))


def test_wait_for_running_inserts_returns_without_any(case: SinkCase) -> None:
    case.sink.insert([block(range(8))], valid_lease)

    case.sink.wait_for_running_inserts(EVENTS, 1, [0, 1])
