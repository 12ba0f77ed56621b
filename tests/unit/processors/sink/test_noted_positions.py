"""What the sink notes about rejected rows, and a table that shows less than was written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from processors.clickhouse.errors import ClickHouseError, LostAnswerError
from processors.engine.errors import TableRolledBackError
from processors.sink.positions import PositionReason
from processors.sink.rows import Block
from schemas.clickhouse import EVENTS
from tests.contracts.sinks import FixedLease, row_positions, tracks, unstorable
from tests.unit.processors.sink.faults import Case, larger_than


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.sink.attempts.LONGEST_PAUSE_SECONDS", 0.0)


@pytest.fixture
async def case() -> Case:
    return await Case().start()


async def test_rejected_last_row_of_a_block_is_noted(case: Case) -> None:
    rows = tracks(range(8))
    rows[3], rows[7] = unstorable(rows[3]), unstorable(rows[7])
    await case.write(rows)

    assert case.sink.noted == {("events", 1, 0): 7}
    assert case.sink.positions(EVENTS, 1, [0]) == {0: 7}
    await case.write(tracks(range(8, 10)))
    assert case.stored == [(0, offset) for offset in (0, 1, 2, 4, 5, 6, 8, 9)]


async def test_rejected_row_before_others_needs_no_note(case: Case) -> None:
    rows = tracks(range(8))
    rows[3] = unstorable(rows[3])
    await case.write(rows)

    assert case.sink.noted == {}


async def test_table_that_shows_less_than_was_written_ends_the_process(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.sink.writer.LAG_SECONDS", 0.0)
    await case.write(tracks(range(8)))
    case.sink.rows["events"] = case.sink.rows["events"][:5]
    case.sink.fault = larger_than(0)

    with pytest.raises(TableRolledBackError, match="events shows source offset 4 for partition 0, but 7 was written"):
        await case.write(tracks(range(8, 16)))


async def test_table_that_was_restored_while_nothing_was_sent_is_noticed(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.sink.writer.LAG_SECONDS", 0.0)
    lease = FixedLease(60)
    case.writer.start(lease)
    await case.write(tracks(range(8)))
    case.sink.rows["events"] = case.sink.rows["events"][:5]
    lease.interruptions += 1

    with pytest.raises(TableRolledBackError, match="events shows source offset 4 for partition 0, but 7 was written"):
        await case.write(tracks(range(8, 16)))
    assert case.stored == row_positions(range(5))


async def test_position_is_read_once_after_an_interruption(case: Case) -> None:
    lease = FixedLease(60)
    case.writer.start(lease)
    await case.write(tracks(range(8)))
    lease.interruptions += 1
    case.sink.calls.clear()
    await case.write(tracks(range(8, 16)))
    await case.write(tracks(range(16, 24)))

    assert [kind for kind, _ in case.sink.calls].count("positions") == 1
    assert case.stored == row_positions(range(24))


async def test_replica_that_lags_for_a_moment_is_not_rolled_back(case: Case) -> None:
    await case.write(tracks(range(8)))
    rows, case.sink.rows["events"] = case.sink.rows["events"], []

    def fail_once(blocks: Sequence[Block]) -> ClickHouseError:
        del blocks
        case.sink.fault = lambda blocks: None  # noqa: ARG005
        return LostAnswerError("reset")

    case.sink.fault = fail_once
    work = asyncio.create_task(case.write(tracks(range(8, 16))))
    while len([kind for kind, _ in case.sink.calls if kind == "positions"]) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0)
    case.sink.rows["events"] = rows
    await work

    assert case.stored == row_positions(range(16))


async def test_noted_position_counts_as_shown(case: Case) -> None:
    await case.write(tracks(range(8)))
    case.sink.note_position(EVENTS, 1, 0, 7, PositionReason.KEPT)
    case.sink.rows["events"].clear()
    case.sink.fault = larger_than(4)
    await case.write(tracks(range(8, 16)))

    assert case.stored == row_positions(range(8, 16))
