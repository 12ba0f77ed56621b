"""The runner: assignment, revocation, and where processing starts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, NoReturn

import pytest
from faust.types import TP

from processors.engine.commit_proofs import CommitProofs
from processors.engine.membership import GroupMembership
from processors.engine.offsets import LogOffsets
from processors.engine.partition_task import Progress
from processors.engine.runner import Runner
from processors.engine.stage import RecordBatch, Stage
from tests.faults.log_lines import ASSIGNED_PARTITIONS
from tests.support.services import eventually
from tests.unit.processors.engine.stages import ITEMS, BatchEvent, BusyStage, CountingStage


class EmptyLogs:
    """Logs that begin and end at 0."""

    async def read(self, partitions: Iterable[TP]) -> dict[TP, LogOffsets]:
        return dict.fromkeys(partitions, LogOffsets(0, 0))


class IdleConsumer:
    """What the runner asks of Faust's consumer."""

    membership = GroupMembership(10.0, lambda: None)

    def __init__(self) -> None:
        self.thread = self
        self.proofs = CommitProofs(lambda _: "")
        self.commits = 0
        self.paused: set[TP] = set()
        self.held: set[TP] = set()
        self.sought: dict[TP, int] = {}
        self.resumed = asyncio.Event()

    async def commit(self) -> None:
        self.commits += 1

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, tuple[int, str]]:
        del partitions
        return {}

    def hold(self, tp: TP) -> None:
        self.held.add(tp)

    def release(self, tp: TP) -> None:
        self.held.discard(tp)

    async def start_at(self, offsets: dict[TP, int]) -> None:
        self.sought.update(offsets)

    def on_buffer_full(self, tp: TP) -> None:
        self.paused.add(tp)

    def on_buffer_drop(self, tp: TP) -> None:
        self.paused.discard(tp)
        self.resumed.set()


def raise_error(error: BaseException) -> NoReturn:
    raise error


async def started(stage: Stage, consumer: IdleConsumer, on_error: Any = raise_error) -> Runner:
    runner = Runner([stage], EmptyLogs(), on_error)  # type: ignore[arg-type]
    await runner.start(consumer)
    runner.assign([ITEMS])
    return runner


async def test_concurrent_revoke_waits_for_batches_in_process() -> None:
    stage, consumer = BusyStage(), IdleConsumer()
    runner = await started(stage, consumer)
    runner.submit(BatchEvent(0))
    await stage.started.wait()

    stopping = asyncio.create_task(runner.stop())
    await asyncio.sleep(0)
    rebalancing = asyncio.create_task(runner.revoke())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    assert not rebalancing.done()

    stage.may_end.set()
    await asyncio.gather(stopping, rebalancing)
    assert consumer.commits == 1


async def test_assigned_partitions_are_logged_in_the_words_that_the_fault_suite_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    runner = Runner([CountingStage()], EmptyLogs(), raise_error)  # type: ignore[arg-type]
    await runner.start(IdleConsumer())
    tasks = [TP(ITEMS.topic, number) for number in (11, 2)]
    runner.assign(tasks)
    await asyncio.to_thread(eventually, lambda: bool(caplog.records), "the line", within_seconds=10)
    await runner.stop()

    found = ASSIGNED_PARTITIONS.search(caplog.records[0].getMessage())
    assert found is not None
    assert found.groups() == (ITEMS.topic, "2, 11")


async def test_fetching_pauses_while_a_partition_is_full() -> None:
    stage, consumer = BusyStage(), IdleConsumer()
    runner = await started(stage, consumer)
    runner.submit(BatchEvent(0))
    await stage.started.wait()
    runner.submit(BatchEvent(*range(1, 11)))
    assert consumer.paused == {ITEMS}

    stage.may_end.set()
    async with asyncio.timeout(5):
        await consumer.resumed.wait()
    assert consumer.paused == set()
    await runner.stop()


async def test_progress_is_a_snapshot_of_every_partition() -> None:
    stage = BusyStage()
    runner = await started(stage, IdleConsumer())
    before = runner.progress()
    runner.submit(BatchEvent(0))
    await stage.started.wait()

    assert before == {ITEMS: Progress(-1, assigned=False, processing=False, waiting=False)}
    assert runner.progress() == {ITEMS: Progress(-1, assigned=True, processing=True, waiting=False)}
    stage.may_end.set()
    await runner.stop()
    assert runner.progress() == {}


class FailingStage(CountingStage):
    """A stage that fails."""

    async def process(self, batch: RecordBatch) -> None:
        raise OSError(f"no space for {batch.last_offset}")


async def test_failed_batch_is_reported_and_not_acknowledged() -> None:
    errors: list[BaseException] = []
    reported = asyncio.Event()

    def report(error: BaseException) -> None:
        errors.append(error)
        reported.set()

    runner = await started(FailingStage(), IdleConsumer(), report)
    event = BatchEvent(0)
    runner.submit(event)
    async with asyncio.timeout(5):
        await reported.wait()

    assert [str(error) for error in errors] == ["no space for 0"]
    assert not event.acknowledged


class CancellingStage(CountingStage):
    """A stage that a library cancels."""

    async def process(self, batch: RecordBatch) -> None:
        del batch
        raise asyncio.CancelledError


async def test_cancellation_that_nobody_asked_for_is_reported() -> None:
    reported: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    runner = await started(CancellingStage(), IdleConsumer(), reported.set_result)
    runner.submit(BatchEvent(0))
    async with asyncio.timeout(5):
        assert isinstance(await reported, asyncio.CancelledError)


async def test_cancellation_by_a_revocation_is_no_error() -> None:
    errors: list[BaseException] = []
    runner = await started(CountingStage(), IdleConsumer(), errors.append)
    await asyncio.sleep(0)
    await runner.stop()
    assert errors == []
