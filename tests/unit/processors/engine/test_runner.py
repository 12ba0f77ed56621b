"""The runner's checks: nothing that fell on the way is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import NoReturn

import pytest
from faust.types import TP

from processors.engine.errors import ExpiredInputError, SkippedRecordsError, TruncatedLogError
from processors.engine.offsets import LogOffsets
from processors.engine.runner import PENDING_BYTES, BatchLinger, PartitionTask, Runner, first_processed_offset
from processors.engine.stage import Lease, Positions, RecordBatch
from tests.support.records import SlimRecord

ITEMS = TP("items", 0)


class CountingStage:
    """A stage that only remembers."""

    topic = "items"
    compacted = False
    max_records = 10
    linger_seconds = 0.0
    waiting = False

    def __init__(self, *, compacted: bool = False) -> None:
        self.compacted = compacted

    async def start(self, lease: Lease) -> None: ...

    async def assigned(self, partitions: frozenset[int]) -> Positions:
        return Positions(dict.fromkeys(partitions, -1))

    async def process(self, records: RecordBatch) -> None: ...

    async def stop(self) -> None: ...


class SliceEvent:
    """What the runner uses of a Faust event."""

    def __init__(self, *offsets: int, start: int = -1) -> None:
        self.value = RecordBatch("items", 0, [SlimRecord(offset) for offset in offsets], start)
        self.message = SimpleNamespace(tp=ITEMS)

    def ack(self) -> None: ...


async def lane(*, processed_offset: int, compacted: bool = False) -> PartitionTask:
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return PartitionTask(CountingStage(compacted=compacted), ITEMS, BatchLinger(0.0), ready, processed_offset)


async def test_runs_that_follow_on_are_joined() -> None:
    joined = (await lane(processed_offset=3)).join([SliceEvent(4, 5), SliceEvent(6)])
    assert joined is not None
    assert [record.offset for record in joined.records] == [4, 5, 6]


async def test_what_is_decided_is_cut_off() -> None:
    joined = (await lane(processed_offset=5)).join([SliceEvent(4, 5), SliceEvent(5, 6)])
    assert joined is not None
    assert [record.offset for record in joined.records] == [6]
    assert (await lane(processed_offset=9)).join([SliceEvent(4, 5)]) is None


@pytest.mark.parametrize("runs", [[(5, 6)], [(4,), (6,)], [(4, 6)]])
async def test_a_gap_ends_the_process(runs: list[tuple[int, ...]]) -> None:
    with pytest.raises(SkippedRecordsError):
        (await lane(processed_offset=3)).join([SliceEvent(*offsets) for offsets in runs])


async def test_holes_in_a_compacted_topic_are_no_gap_but_lost_runs_are() -> None:
    joined = (await lane(processed_offset=3, compacted=True)).join(
        [SliceEvent(7, 9, start=4), SliceEvent(12, start=10)]
    )
    assert joined is not None
    assert [record.offset for record in joined.records] == [7, 9, 12]
    with pytest.raises(SkippedRecordsError):
        (await lane(processed_offset=3, compacted=True)).join([SliceEvent(12, start=10)])


async def test_a_compacted_run_that_began_nobody_knows_where_is_not_trusted() -> None:
    with pytest.raises(SkippedRecordsError):
        (await lane(processed_offset=3, compacted=True)).join([SliceEvent(7)])


async def test_a_lane_takes_no_more_than_its_stage_wants() -> None:
    full = await lane(processed_offset=-1)
    for first in range(0, 24, 6):
        full.put(SliceEvent(*range(first, first + 6)))
    assert [event.value.first_offset for event in await full.take()] == [0]
    assert full.pending_records == 18


async def test_a_lane_is_full_by_records_and_by_bytes() -> None:
    by_records, by_bytes = await lane(processed_offset=-1), await lane(processed_offset=-1)
    by_records.put(SliceEvent(*range(9)))
    assert not by_records.is_full
    by_records.put(SliceEvent(9))
    assert by_records.is_full

    event = SliceEvent(0)
    event.value = RecordBatch("items", 0, [SlimRecord(0, value=b"x" * PENDING_BYTES)])
    by_bytes.put(event)
    assert by_bytes.is_full
    await by_bytes.take()
    assert not by_bytes.is_full


@pytest.mark.parametrize(
    ("known", "committed", "processed_offset"),
    [(None, None, 9), (20, None, 20), (None, 31, 30), (20, 31, 30), (40, 31, 40)],
)
def test_the_highest_knowledge_counts(known: int | None, committed: int | None, processed_offset: int) -> None:
    assert first_processed_offset(ITEMS, known, committed, LogOffsets(10, 50)) == processed_offset


def test_expired_input_is_refused_with_what_is_missing() -> None:
    with pytest.raises(ExpiredInputError, match="offsets 5 to 9 expired"):
        first_processed_offset(ITEMS, None, 5, LogOffsets(10, 50))


def test_a_log_that_ends_below_what_was_committed_is_refused() -> None:
    with pytest.raises(TruncatedLogError, match="made again"):
        first_processed_offset(ITEMS, None, 51, LogOffsets(0, 50))


async def test_slices_of_a_stage_set_out_together_and_a_full_one_at_once() -> None:
    pace = BatchLinger(60.0)
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    first, second, full = (PartitionTask(CountingStage(), TP("items", number), pace, ready) for number in range(3))
    first.put(SliceEvent(0))
    assert len(await first.take()) == 1

    second.put(SliceEvent(0))
    waiting = asyncio.create_task(second.take())
    for number in range(10):
        full.put(SliceEvent(number))
    assert len(await full.take()) == 10
    assert not waiting.done()

    pace.began = 0.0
    second.put(SliceEvent(1))
    waiting.cancel()
    assert len(await second.take()) == 2


class BusyStage(CountingStage):
    """A stage whose slices take as long as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def process(self, records: RecordBatch) -> None:
        del records
        self.begun.set()
        await self.may_end.wait()


class EmptyLogs:
    """Logs that begin and end at 0."""

    async def bounds(self, partitions: Iterable[TP]) -> dict[TP, LogOffsets]:
        return dict.fromkeys(partitions, LogOffsets(0, 0))


class IdleConsumer:
    """What the runner asks of Faust's consumer."""

    lease_until = staticmethod(lambda: 0.0)

    def __init__(self) -> None:
        self.thread = self
        self.commits = 0

    async def commit(self) -> None:
        self.commits += 1

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int | None]:
        return dict.fromkeys(partitions)


async def test_whoever_lets_partitions_go_waits_for_what_is_in_work_also_when_another_has_begun_to() -> None:
    stage, consumer = BusyStage(), IdleConsumer()
    runner = Runner([stage], EmptyLogs(), _raise)  # type: ignore[arg-type]
    await runner.start(consumer)
    runner.assign([ITEMS])
    runner.submit(SliceEvent(0))
    await stage.begun.wait()

    stopping = asyncio.create_task(runner.stop())
    await asyncio.sleep(0)
    rebalancing = asyncio.create_task(runner.revoke())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    assert not rebalancing.done()

    stage.may_end.set()
    await asyncio.gather(stopping, rebalancing)
    assert consumer.commits == 1


def _raise(error: BaseException) -> NoReturn:
    raise error
