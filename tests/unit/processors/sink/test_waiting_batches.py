"""Batches that ClickHouse does not take do not hold the slots of the others."""

from __future__ import annotations

import asyncio

import pytest

from processors.clickhouse.errors import ClickHouseError
from processors.engine.stage import InputOffsets, RecordBatch
from processors.rejected_topic import RejectedTopic
from processors.sink.stage import EventsStage
from processors.sink.table_stage import CONCURRENT_BATCHES
from schemas.topics import Topics
from tests.contracts.sinks import valid_lease
from tests.fakes.outputs import MemoryOutputs
from tests.fakes.sink import FaultySink
from tests.fakes.sink_log import memory_log
from tests.support.records import event_read, track

CONSTRAINT = ClickHouseError("Code: 469. DB::Exception: Constraint is violated", 469)
UNUSED = CONCURRENT_BATCHES + 2
"""A partition whose rows violate nothing."""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.sink.attempts.LONGEST_PAUSE_SECONDS", 0.01)


def batch_of(partition: int) -> RecordBatch:
    records = [event_read(at, track(f"m{partition}-{at}"), source_offset=at) for at in range(5)]
    return RecordBatch("events", partition, records)


async def test_batches_of_other_partitions_pass_more_failing_ones_than_slots() -> None:
    sink, topics = FaultySink(), Topics()
    sink.fault = lambda blocks: CONSTRAINT if any(block.partition < UNUSED for block in blocks) else None
    stage = EventsStage(topics, sink, RejectedTopic(MemoryOutputs(), topics, "sink"), memory_log(sink), valid_lease)
    await stage.assigned({number: InputOffsets(0, 0) for number in range(UNUSED + 1)})
    failing = [asyncio.create_task(stage.process(batch_of(number))) for number in range(UNUSED)]
    async with asyncio.timeout(10):
        await stage.process(batch_of(UNUSED))

    assert not any(task.done() for task in failing)
    assert {row.partition for row in sink.rows["events"]} == {UNUSED}
    sink.fault = lambda blocks: None  # noqa: ARG005
    async with asyncio.timeout(10):
        await asyncio.gather(*failing)
    assert len(sink.rows["events"]) == 5 * (UNUSED + 1)


async def test_batches_hold_their_slots_while_the_table_takes_nothing() -> None:
    sink, topics = FaultySink(), Topics()
    sink.fault = lambda blocks: CONSTRAINT  # noqa: ARG005
    sink.table_fault = ClickHouseError("Code: 60. DB::Exception: no table", 60)
    stage = EventsStage(topics, sink, RejectedTopic(MemoryOutputs(), topics, "sink"), memory_log(sink), valid_lease)
    await stage.assigned({number: InputOffsets(0, 0) for number in range(UNUSED + 1)})
    work = [asyncio.create_task(stage.process(batch_of(number))) for number in range(UNUSED + 1)]
    while len(sink.calls) < 60:  # noqa: ASYNC110
        await asyncio.sleep(0)
    tried = set(sink.insert_partitions)
    assert len(tried) == CONCURRENT_BATCHES

    sink.fault, sink.table_fault = (lambda blocks: None), None  # noqa: ARG005
    async with asyncio.timeout(10):
        await asyncio.gather(*work)
    assert len(sink.rows["events"]) == 5 * (UNUSED + 1)
