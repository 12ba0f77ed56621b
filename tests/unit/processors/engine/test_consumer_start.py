"""Where the consumer starts: partitions are held until it is decided, and may start below the committed offset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.errors import IllegalStateError

from tests.unit.processors.engine.test_consumer import ITEMS, Reader, bounds, run_pending


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.consumer.thread.thread_loop.close()


async def test_held_partition_is_not_fetched_whatever_faust_resumes(reader: Reader) -> None:
    reader.consumer.hold(ITEMS)
    await reader.consumer.perform_seek()
    reader.consumer.resume_partitions({ITEMS})
    assert [await reader.read() for _ in range(2)] == [[], []]
    assert reader.log.next_offset == 0
    reader.consumer.release(ITEMS)
    assert bounds(await reader.read()) == [(0, 0)]


async def test_fetch_that_began_before_a_partition_was_held_returns_none_of_it(reader: Reader) -> None:
    await reader.consumer.perform_seek()
    reading = await reader.start_read_until(reader.log.may_fetch)
    reader.consumer.hold(ITEMS)
    reader.log.may_fetch.set()
    assert await reading == []


async def test_rebalance_ends_the_hold(reader: Reader) -> None:
    reader.consumer.hold(ITEMS)
    await reader.consumer.on_partitions_assigned(set(), 2)
    reader.consumer.resume_flow()
    reader.consumer.resume_partitions({ITEMS})
    await reader.consumer.perform_seek()
    assert bounds(await reader.read()) == [(0, 0)]


@pytest.mark.parametrize("decided_first", [True, False])
async def test_start_below_the_committed_offset_outlasts_the_seek_of_faust(
    reader: Reader, *, decided_first: bool
) -> None:
    """Faust seeks the committed offset after each assignment, before or after the start is decided."""
    reader.log.commit = 7
    reader.consumer.hold(ITEMS)
    if decided_first:
        starting = asyncio.create_task(reader.consumer.start_at({ITEMS: 3}))
        await run_pending()
        assert not starting.done()
        await reader.consumer.perform_seek()
        await starting
    else:
        await reader.consumer.perform_seek()
        await reader.consumer.start_at({ITEMS: 3})
    reader.consumer.release(ITEMS)
    assert [bounds(await reader.read()) for _ in range(2)] == [[(3, 3)], [(4, 4)]]
    assert reader.consumer._read_offset[ITEMS] == 3


async def test_offsets_that_are_processed_again_are_committed_again(reader: Reader) -> None:
    reader.log.commit = 7
    await reader.consumer.perform_seek()
    assert not reader.consumer._should_commit(ITEMS, 5)
    await reader.consumer.start_at({ITEMS: 3})
    assert reader.consumer._should_commit(ITEMS, 5)


async def test_start_overtaken_by_a_rebalance_is_an_error(reader: Reader) -> None:
    await reader.consumer.perform_seek()
    reader.log.revoke()
    with pytest.raises(IllegalStateError):
        await reader.consumer.start_at({ITEMS: 3})
