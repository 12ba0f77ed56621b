"""Blocks that go with one INSERT, and what becomes of each when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from processors.clickhouse.errors import RefusedRowsError, UnavailableError
from processors.sink.coalescer import JOINT_ROWS, InsertCoalescer
from processors.sink.rows import BLOCK_BYTES, Block, Row
from processors.sink.writer import BlockWriter
from schemas.clickhouse import EVENTS
from tests.contracts.sinks import block, held, places, refused, tracks
from tests.fakes.sink import HeldSink, MemorySink


def joint(sink: MemorySink) -> InsertCoalescer:
    return InsertCoalescer(BlockWriter(sink, held).write)


def stored(sink: MemorySink) -> list[tuple[int, int]]:
    return sorted((row.partition, row.origin) for row in sink.rows["events"])


def received_in(month: int) -> list[Row]:
    received_at = f"2026-0{month}-28T00:00:00.000000Z"
    return [msgspec.structs.replace(row, received_at=received_at) for row in tracks(range(2), month)]


async def test_blocks_that_come_together_are_one_insert() -> None:
    sink = MemorySink()
    inserts = joint(sink)
    await asyncio.gather(*(inserts.write(block(range(5), partition)) for partition in range(4)))

    assert sink.inserts == 1
    assert stored(sink) == [place for partition in range(4) for place in places(range(5), partition)]


async def test_blocks_that_come_while_one_is_written_are_the_next() -> None:
    sink = HeldSink()
    inserts = joint(sink)
    first = asyncio.create_task(inserts.write(block(range(5), 0)))
    assert await asyncio.to_thread(sink.begun.wait, 10)
    others = [asyncio.create_task(inserts.write(block(range(5), partition))) for partition in (1, 2, 3)]
    await asyncio.sleep(0)
    sink.may_end.set()
    await asyncio.gather(first, *others)

    assert (sink.inserts, len(stored(sink))) == (2, 20)


@pytest.mark.parametrize(
    "blocks",
    [
        [Block(EVENTS, partition, tracks(range(JOINT_ROWS // 2 + 1), partition)) for partition in range(2)],
        [Block(EVENTS, partition, tracks(range(2), partition), BLOCK_BYTES - 1) for partition in range(2)],
        [Block(EVENTS, month, received_in(month)) for month in (1, 2)],
    ],
    ids=["rows", "bytes", "months"],
)
async def test_what_is_too_much_for_one_insert_is_two(blocks: Sequence[Block]) -> None:
    sink = MemorySink()
    inserts = joint(sink)
    await asyncio.gather(*(inserts.write(each) for each in blocks))

    assert (sink.inserts, len(stored(sink))) == (2, sum(len(each.rows) for each in blocks))


async def test_only_the_block_with_a_refused_row_is_refused() -> None:
    sink = MemorySink()
    inserts = joint(sink)
    bad = Block(EVENTS, 1, [refused(row) for row in tracks(range(5), 1)])
    outcomes = await asyncio.gather(
        inserts.write(block(range(5), 0)), inserts.write(bad), inserts.write(block(range(5), 2)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), RefusedRowsError, type(None)]
    assert stored(sink) == [*places(range(5), 0), *places(range(5), 2)]


async def test_everyone_hears_that_the_answer_was_lost() -> None:
    sink = MemorySink()
    sink.answers_lost = 1
    inserts = joint(sink)
    outcomes = await asyncio.gather(
        inserts.write(block(range(5), 0)), inserts.write(block(range(5), 1)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [UnavailableError, UnavailableError]
    await inserts.write(block(range(5, 8), 0))
    assert len(stored(sink)) == 13


async def test_a_block_that_is_cancelled_while_it_waits_is_never_written() -> None:
    sink = HeldSink()
    inserts = joint(sink)
    first = asyncio.create_task(inserts.write(block(range(5), 0)))
    assert await asyncio.to_thread(sink.begun.wait, 10)
    second, third = (asyncio.create_task(inserts.write(block(range(5), partition))) for partition in (1, 2))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    sink.may_end.set()
    await asyncio.gather(first, third)

    assert stored(sink) == [*places(range(5), 0), *places(range(5), 2)]


async def test_a_block_that_is_cancelled_while_it_is_written_is_waited_for() -> None:
    sink = HeldSink()
    inserts = joint(sink)
    work = asyncio.create_task(inserts.write(block(range(5), 0)))
    assert await asyncio.to_thread(sink.begun.wait, 10)
    work.cancel()
    await asyncio.wait([work], timeout=0.05)
    assert not work.done()

    sink.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert stored(sink) == places(range(5), 0)
