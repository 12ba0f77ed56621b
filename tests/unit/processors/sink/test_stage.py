"""The events stage on a sink that is unavailable, loses responses, or has rows already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence

import pytest

from processors.clickhouse.errors import LeaseEndedError
from processors.engine.membership import GroupMembership
from processors.engine.stage import InputOffsets, RecordBatch, SourceRecord
from processors.rejected_topic import RejectedTopic
from processors.sink.lease import SinkLease
from processors.sink.stage import EventsStage
from schemas.clickhouse import Table
from schemas.topics import Topics
from tests.contracts.sinks import FixedLease, valid_lease
from tests.fakes.outputs import MemoryOutputs
from tests.fakes.sink import HeldSink, MemorySink
from tests.fakes.sink_log import memory_log
from tests.support.records import event_read, identify, track


async def started(sink: MemorySink, lease: SinkLease = valid_lease) -> EventsStage:
    topics = Topics()
    stage = EventsStage(topics, sink, RejectedTopic(MemoryOutputs(), topics, "sink"), memory_log(sink), lease)
    await stage.start(GroupMembership(10.0, lambda: None))
    await stage.assigned({0: InputOffsets(0, 0)})
    return stage


def batch_of(first: int, count: int) -> RecordBatch:
    records: Sequence[SourceRecord] = [
        event_read(at, track(f"m{at}") if at % 2 else identify(f"m{at}"), source_offset=2 * at)
        for at in range(first, first + count)
    ]
    return RecordBatch("events", 0, records)


def ids(sink: MemorySink) -> list[str]:
    return sorted(getattr(row, "message_id", "") for rows in sink.rows.values() for row in rows)


def expected(count: int) -> list[str]:
    return sorted(f"m{number}" for number in range(count))


async def test_tracks_and_identifies_go_to_their_tables() -> None:
    sink = MemorySink()
    await (await started(sink)).process(batch_of(0, 10))

    assert [row.source_offset for row in sink.rows["events"]] == [2, 6, 10, 14, 18]
    assert [row.source_offset for row in sink.rows["identifies"]] == [0, 4, 8, 12, 16]


async def test_records_read_again_are_not_written_again() -> None:
    sink = MemorySink()
    stage = await started(sink)
    await stage.process(batch_of(0, 10))
    await stage.process(batch_of(5, 10))
    await (await started(sink)).process(batch_of(0, 20))

    assert ids(sink) == expected(20)


async def test_remembered_offset_is_the_highest_source_offset_of_both_tables() -> None:
    sink = MemorySink()
    stage = await started(sink)
    await stage.process(batch_of(0, 10))

    positions = await stage.assigned(dict.fromkeys((0, 1), InputOffsets(0, 0)))
    assert positions.remembered_offsets == {("sequence.items.v1", 0): 18, ("sequence.items.v1", 1): -1}
    assert positions.processed_offsets == {}


@pytest.mark.parametrize("lost", [1, 2, 5])
async def test_lost_responses_lose_and_double_nothing(lost: int) -> None:
    sink = MemorySink()
    stage = await started(sink)
    sink.responses_lost = lost
    for number in range(5):
        await stage.process(batch_of(10 * number, 10))

    assert ids(sink) == expected(50)


class UnavailableSink(MemorySink):
    """A sink that sets `asked` when positions are about to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def wait_for_running_inserts(self, table: Table, log: int, partitions: Iterable[int]) -> None:
        self.asked.set()
        super().wait_for_running_inserts(table, log, partitions)


async def test_batch_waits_while_the_sink_is_unavailable() -> None:
    sink = UnavailableSink()
    stage = await started(sink)
    sink.reachable = False
    sink.asked.clear()
    work = asyncio.create_task(stage.process(batch_of(0, 10)))
    assert await asyncio.to_thread(sink.asked.wait, 10)
    assert (ids(sink), stage.waiting) == ([], True)

    sink.reachable = True
    async with asyncio.timeout(10):
        await work
    assert (ids(sink), stage.waiting) == (expected(10), False)


class EndingLease(FixedLease):
    """A lease that has ended until `valid` is set."""

    def __init__(self) -> None:
        super().__init__(60)
        self.valid, self.asked = threading.Event(), threading.Semaphore(0)

    def deadline(self) -> float:
        self.asked.release()
        if not self.valid.is_set():
            raise LeaseEndedError("ended")
        return super().deadline()


async def test_batch_waits_for_a_lease_and_writes_nothing_without_one() -> None:
    sink, lease = MemorySink(), EndingLease()
    stage = await started(sink, lease)
    work = asyncio.create_task(stage.process(batch_of(0, 10)))
    for _ in range(2):
        assert await asyncio.to_thread(lease.asked.acquire, timeout=10)
    assert (ids(sink), stage.waiting) == ([], True)

    lease.valid.set()
    async with asyncio.timeout(10):
        await work
    assert ids(sink) == expected(10)


async def test_cancelled_batch_waits_for_its_insert_and_starts_no_other() -> None:
    sink = HeldSink()
    work = asyncio.create_task((await started(sink)).process(batch_of(0, 10)))
    assert await asyncio.to_thread(sink.begun.wait, 10)
    work.cancel()
    await asyncio.wait([work], timeout=0.05)
    assert not work.done()

    sink.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (len(sink.rows["events"]), len(sink.rows["identifies"])) == (5, 0)


class NotedCatalog:
    """A catalogue that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str | bool] = []

    def start(self) -> None:
        self.told.append("start")

    def set_owner(self, *, counts: bool) -> None:
        self.told.append(counts)

    def stop(self) -> None:
        self.told.append("stop")


async def test_worker_with_partition_0_keeps_the_catalogue() -> None:
    sink, noted = MemorySink(), NotedCatalog()
    topics = Topics()
    stage = EventsStage(topics, sink, RejectedTopic(MemoryOutputs(), topics, "sink"), memory_log(sink), valid_lease)
    stage.keep_catalog(noted)  # type: ignore[arg-type]  # it has the shape
    await stage.start(GroupMembership(10.0, lambda: None))
    for partitions in ([0, 1], [1], [0]):
        await stage.assigned(dict.fromkeys(partitions, InputOffsets(0, 0)))
    await stage.stop()

    assert noted.told == ["start", True, False, True, "stop"]
