"""Partition tasks: pending batches, the contiguity check, the linger."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP

from processors.engine.errors import SkippedRecordsError
from processors.engine.partition_task import PENDING_BYTES, BatchLinger, PartitionTask
from processors.engine.stage import RecordBatch
from tests.support.records import SlimRecord
from tests.unit.processors.engine.stages import ITEMS, BatchEvent, CountingStage


async def task(*, processed_offset: int, compacted: bool = False) -> PartitionTask:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return PartitionTask(CountingStage(compacted=compacted), ITEMS, BatchLinger(0.0), ready, processed_offset)


def offsets(batch: RecordBatch | None) -> list[int]:
    assert batch is not None
    return [record.offset for record in batch.records]


async def test_consecutive_batches_are_merged() -> None:
    assert offsets((await task(processed_offset=3)).merge([BatchEvent(4, 5), BatchEvent(6)])) == [4, 5, 6]


async def test_processed_records_are_skipped() -> None:
    assert offsets((await task(processed_offset=5)).merge([BatchEvent(4, 5), BatchEvent(5, 6)])) == [6]
    assert (await task(processed_offset=9)).merge([BatchEvent(4, 5)]) is None


@pytest.mark.parametrize("batches", [[(5, 6)], [(4,), (6,)], [(4, 6)]])
async def test_gap_is_an_error(batches: list[tuple[int, ...]]) -> None:
    with pytest.raises(SkippedRecordsError, match=r"items\[0\]: offset gap: expected \d+, got batch"):
        (await task(processed_offset=3)).merge([BatchEvent(*each) for each in batches])


async def test_holes_in_a_compacted_topic_are_no_gap_but_lost_batches_are() -> None:
    merged = (await task(processed_offset=3, compacted=True)).merge(
        [BatchEvent(7, 9, fetch_offset=4), BatchEvent(12, fetch_offset=10)]
    )
    assert offsets(merged) == [7, 9, 12]
    with pytest.raises(SkippedRecordsError):
        (await task(processed_offset=3, compacted=True)).merge([BatchEvent(12, fetch_offset=10)])


async def test_compacted_batch_with_unknown_fetch_offset_is_a_gap() -> None:
    with pytest.raises(SkippedRecordsError):
        (await task(processed_offset=3, compacted=True)).merge([BatchEvent(7)])


async def test_next_batch_has_at_most_the_records_that_its_stage_wants() -> None:
    full = await task(processed_offset=-1)
    for first in range(0, 24, 6):
        full.enqueue(BatchEvent(*range(first, first + 6)))
    assert [event.value.first_offset for event in await full.next_events()] == [0]
    assert full.pending_records == 18


async def test_task_is_full_by_records_and_by_bytes() -> None:
    by_records, by_bytes = await task(processed_offset=-1), await task(processed_offset=-1)
    by_records.enqueue(BatchEvent(*range(9)))
    assert not by_records.is_full
    by_records.enqueue(BatchEvent(9))
    assert by_records.is_full

    event = BatchEvent(0)
    event.value = RecordBatch("items", 0, [SlimRecord(0, value=b"x" * PENDING_BYTES)])
    by_bytes.enqueue(event)
    assert by_bytes.is_full
    await by_bytes.next_events()
    assert not by_bytes.is_full


async def test_batches_of_a_stage_share_a_linger_and_a_full_one_skips_it() -> None:
    linger = BatchLinger(60.0)
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    first, second, full = (PartitionTask(CountingStage(), TP("items", number), linger, ready) for number in range(3))
    first.enqueue(BatchEvent(0))
    assert len(await first.next_events()) == 1

    second.enqueue(BatchEvent(0))
    waiting = asyncio.create_task(second.next_events())
    for number in range(10):
        full.enqueue(BatchEvent(number))
    assert len(await full.next_events()) == 10
    assert not waiting.done()

    linger.last_start = 0.0
    second.enqueue(BatchEvent(1))
    waiting.cancel()
    assert len(await second.next_events()) == 2
