"""Blocks whose INSERT failed: nothing twice, nothing lost, and only the row at fault is rejected."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.clickhouse.errors import ClickHouseError, LostAnswerError, TooLateError
from processors.sink.attempts import BIG_ROW_BYTES, HALVE_AFTER
from processors.sink.rows import Block, EventRow
from schemas.clickhouse import EVENTS
from tests.contracts.sinks import row_positions, tracks, unstorable
from tests.unit.processors.sink.faults import CONSTRAINT, MEMORY, UNLISTED, VALUE, Case, larger_than, with_row


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.sink.attempts.LONGEST_PAUSE_SECONDS", 0.0)


@pytest.fixture
async def case() -> Case:
    return await Case().start()


@pytest.mark.parametrize("error", [VALUE, MEMORY, CONSTRAINT, UNLISTED, LostAnswerError("reset")], ids=str)
@pytest.mark.parametrize("partitions", [1, 3])
async def test_rows_that_are_in_the_table_are_not_sent_again(
    case: Case, error: ClickHouseError, partitions: int
) -> None:
    case.sink.fault = lambda blocks: error  # noqa: ARG005
    case.sink.writes_despite_errors = True
    await asyncio.gather(*(case.write(tracks(range(50), number), number) for number in range(partitions)))

    assert case.stored == [each for number in range(partitions) for each in row_positions(range(50), number)]
    assert [call for call in case.sink.calls if call[0] == "insert"] == [("insert", 50 * partitions)]
    assert case.rejected == []


@pytest.mark.parametrize("error", [VALUE, MEMORY, UNLISTED], ids=str)
async def test_positions_are_asked_after_every_failed_insert(case: Case, error: ClickHouseError) -> None:
    case.sink.fault = larger_than(3, error)
    await case.write(tracks(range(50)))

    kinds = [kind for kind, _ in case.sink.calls]
    failed = [number > 3 for kind, number in case.sink.calls if kind == "insert"]
    assert kinds.count("positions") == sum(failed) > 0
    assert case.stored == row_positions(range(50))


async def test_row_that_cannot_be_parsed_is_rejected_at_once(case: Case) -> None:
    rows = tracks(range(64))
    rows[13] = unstorable(rows[13])
    await case.write(rows)

    assert case.rejected == [("row_rejected", 13)]
    assert len(case.stored) == 63
    # One failure at each of the sizes 64, 32, 16, 8, 4, 2 and 1.
    assert case.metric("sequence_sink_insert_retries_total", table="events", reason="row") == 7
    assert case.metric("sequence_sink_halved_blocks_total", table="events") == 6
    assert case.metric("sequence_worker_rejected_records_total", stage="sink", code="row_rejected") == 1


async def test_value_that_only_a_column_of_the_table_refuses_needs_evidence(case: Case) -> None:
    case.sink.fault = lambda blocks: VALUE  # noqa: ARG005
    work = asyncio.create_task(case.write(tracks(range(4))))
    while len(case.sink.calls) < 100:  # noqa: ASYNC110  # the writer has tried for long
        await asyncio.sleep(0)
    assert (case.rejected, case.stored) == ([], [])

    case.sink.fault = lambda blocks: None  # noqa: ARG005
    await work
    assert (case.rejected, case.stored) == ([], row_positions(range(4)))


async def test_row_that_always_fails_is_rejected_while_its_neighbours_are_written(case: Case) -> None:
    case.sink.fault = with_row(9, UNLISTED)
    await case.write(tracks(range(16)))

    assert case.rejected == [("engine_cannot_store", 9)]
    assert case.stored == [each for each in row_positions(range(16)) if each[1] != 9]


async def test_small_row_waits_while_nothing_else_of_the_table_is_written(case: Case) -> None:
    case.sink.fault = with_row(0, MEMORY)
    work = asyncio.create_task(case.write(tracks(range(8))))
    while len(case.sink.calls) < 200:  # noqa: ASYNC110  # the writer has tried for long
        await asyncio.sleep(0)
    assert (case.rejected, case.stored) == ([], [])

    await case.write(tracks(range(3), 1), 1)
    await work
    assert case.rejected == [("engine_cannot_store", 0)]
    assert case.stored == [*row_positions(range(1, 8)), *row_positions(range(3), 1)]


async def test_row_whose_insert_arrives_too_late_is_not_rejected(case: Case) -> None:
    case.sink.fault = with_row(0, TooLateError("INSERT arrived after its deadline", 395))
    work = asyncio.create_task(case.write(tracks(range(8))))
    await case.write(tracks(range(3), 1), 1)
    while len(case.sink.calls) < 200 and not case.rejected:  # noqa: ASYNC110  # the writer has tried for long
        await asyncio.sleep(0)
    assert case.rejected == []

    case.sink.fault = lambda blocks: None  # noqa: ARG005
    await work
    assert (case.rejected, sorted(case.stored)) == ([], sorted([*row_positions(range(8)), *row_positions(range(3), 1)]))


async def test_rows_of_another_worker_are_evidence_as_well(case: Case) -> None:
    case.sink.fault = with_row(0, UNLISTED)
    work = asyncio.create_task(case.write(tracks(range(8))))
    while len(case.sink.calls) < 200:  # noqa: ASYNC110  # the writer has tried for long
        await asyncio.sleep(0)
    assert (case.rejected, case.stored) == ([], [])

    case.sink.rows["events"] += tracks(range(3), 2)
    await work
    assert case.rejected == [("engine_cannot_store", 0)]


async def test_big_row_is_rejected_without_other_rows(case: Case) -> None:
    [row] = tracks(range(1))
    assert isinstance(row, EventRow)
    row.properties = msgspec.Raw(b'{"text":"%s"}' % (b"x" * BIG_ROW_BYTES))
    case.sink.fault = with_row(0, MEMORY)
    await case.write([row])

    assert case.rejected == [("engine_cannot_store", 0)]


@pytest.mark.parametrize("error", [MEMORY, UNLISTED], ids=str)
async def test_nothing_is_halved_or_rejected_while_the_table_takes_no_statement(
    case: Case, error: ClickHouseError
) -> None:
    case.sink.fault = with_row(3, error)
    case.sink.table_fault = ClickHouseError("Code: 497. DB::Exception: Not enough privileges", 497)
    work = asyncio.create_task(case.write(tracks(range(8))))
    while len(case.sink.calls) < 200:  # noqa: ASYNC110  # the writer has tried for long
        await asyncio.sleep(0)
    assert {number for kind, number in case.sink.calls if kind == "insert"} == {8}
    assert case.refused == 0

    case.sink.fault = lambda blocks: None  # noqa: ARG005
    await work
    assert (case.rejected, case.stored) == ([], row_positions(range(8)))


async def test_constraint_that_some_rows_violate_is_waited_for(case: Case) -> None:
    case.sink.fault = with_row(3, CONSTRAINT)
    work = asyncio.create_task(case.write(tracks(range(8))))
    await case.write(tracks(range(8), 1), 1)
    while len(case.sink.calls) < 200:  # noqa: ASYNC110  # the writer has tried for long
        await asyncio.sleep(0)
    assert (case.rejected, case.stored) == ([], row_positions(range(8), 1))
    assert case.refused > 0

    case.sink.fault = lambda blocks: None  # noqa: ARG005
    await work
    assert case.stored == [*row_positions(range(8)), *row_positions(range(8), 1)]


async def test_blocks_that_shared_a_failed_insert_do_not_wait_for_each_other(case: Case) -> None:
    case.sink.fault = with_row(0, CONSTRAINT, partition=2)
    failing = asyncio.create_task(case.write(tracks(range(8), 2), 2))
    await asyncio.gather(*(case.write(tracks(range(8), number), number) for number in (0, 1, 3)))
    for first in (8, 16, 24):
        await asyncio.gather(*(case.write(tracks(range(first, first + 8), number), number) for number in (0, 1, 3)))

    assert not failing.done()
    assert case.stored == [each for number in (0, 1, 3) for each in row_positions(range(32), number)]
    failing.cancel()
    await asyncio.wait([failing])


def inserted(case: Case) -> list[int]:
    """Return the rows of each INSERT, and forget the calls."""
    rows = [number for kind, number in case.sink.calls if kind == "insert"]
    case.sink.calls.clear()
    return rows


async def test_size_that_passes_is_kept_and_larger_ones_are_tried_rarely(case: Case) -> None:
    case.sink.fault = larger_than(10)
    await case.write(tracks(range(1024)))
    inserted(case)
    await case.write(tracks(range(1024, 5120)))
    sizes = inserted(case)
    assert set(sizes) == {8, 16}
    # Of 512 INSERTs that pass, a larger one is tried after 16, 32, 64, … and fails three times each.
    assert sizes.count(8) == 512
    assert sizes.count(16) <= 6 * HALVE_AFTER
    assert case.stored == row_positions(range(5120))


async def test_blocks_are_whole_again_soon_after_the_limit_is_gone(case: Case) -> None:
    case.sink.fault = larger_than(10)
    await case.write(tracks(range(4096)))
    case.sink.fault = lambda blocks: None  # noqa: ARG005
    for first in (4096, 8192, 12_288, 16_384, 20_480):
        inserted(case)
        await case.write(tracks(range(first, first + 4096)))
    assert inserted(case) == [4096]


async def test_kills_of_clickhouse_make_inserts_small_only_for_a_moment(case: Case) -> None:
    kills = iter(range(24))
    case.sink.fault = lambda blocks: LostAnswerError("reset") if next(kills, None) is not None else None  # noqa: ARG005
    await case.write(tracks(range(8192)))
    # The last INSERTs that failed had 8192 / 2 ** 8 rows. Those after them double.
    assert min(sizes := inserted(case)) == 32
    assert len(sizes) < 24 + 24
    await case.write(tracks(range(8192, 16_384)))
    assert len(inserted(case)) <= 2
    assert case.stored == row_positions(range(16_384))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    bad=st.sets(st.integers(0, 59), max_size=4),
    unstorable_offsets=st.sets(st.integers(0, 59), max_size=2),
    limit=st.integers(1, 60),
    lost=st.lists(st.booleans(), max_size=12),
)
async def test_every_row_is_stored_once_or_rejected_whatever_fails(
    bad: set[int], unstorable_offsets: set[int], limit: int, lost: list[bool]
) -> None:
    case = await Case().start()
    answers = iter(lost)

    def fault(blocks: Sequence[Block]) -> ClickHouseError | None:
        offsets = {row.source_offset for block in blocks for row in block.rows if row.partition == 0}
        case.sink.writes_despite_errors = False
        if offsets & bad:
            return None
        if offsets & unstorable_offsets:
            return UNLISTED
        if len(offsets) > limit:
            return MEMORY
        if next(answers, False):
            case.sink.writes_despite_errors = True
            return LostAnswerError("reset")
        return None

    case.sink.fault = fault
    rows = [unstorable(row) if row.source_offset in bad else row for row in tracks(range(60))]
    work = asyncio.create_task(case.write(rows))
    first = 0
    while not work.done():
        await case.write(tracks(range(first, first + 1), 1), 1)
        first += 1
    await work

    fine = [offset for offset in range(60) if offset not in bad | unstorable_offsets]
    assert [each for each in case.stored if each[0] == 0] == [(0, offset) for offset in fine]
    expected = dict.fromkeys(unstorable_offsets, "engine_cannot_store") | dict.fromkeys(bad, "row_rejected")
    assert sorted(case.rejected, key=lambda each: each[1]) == [(expected[at], at) for at in sorted(expected)]
    assert case.sink.positions(EVENTS, 1, [0]) == {0: 59}
