"""Fetches during a rebalance: current batches are delivered, stale ones are dropped and fetched again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP
from mode.utils.queues import FlowControlQueue

from processors.engine.app import BatchApp, EngineSettings
from processors.engine.builder import WorkerBuilder
from processors.engine.consumer import BatchConsumer, BatchConsumerThread
from processors.engine.stage import RecordBatch
from processors.engine.store import PartitionedStore
from schemas.settings import KafkaSettings
from tests.support.records import SlimRecord

ITEMS = TP("items", 0)


class Log:
    """aiokafka's consumer of one partition: a record at every offset, each a fetch of its own."""

    def __init__(self) -> None:
        self.commit: int | None = None
        self.next_offset = 0
        self.may_fetch = asyncio.Event()
        """A fetch waits for it before it reads."""
        self.may_fetch.set()
        self.may_return = asyncio.Event()
        """A fetch waits for it after it has read."""
        self.may_return.set()
        self.may_answer = asyncio.Event()
        """A request for the committed offset waits for it."""
        self.may_answer.set()
        self._closed = False
        self._max_poll_records = None
        self._fetcher = self
        self._subscriptions = SimpleNamespace(fetch_context=nullcontext)
        self._subscription = SimpleNamespace(reassignment_in_progress=False, subscription=SimpleNamespace())
        self.assign()

    def revoke(self) -> None:
        self._subscription.reassignment_in_progress = True

    def assign(self) -> None:
        self._subscription.reassignment_in_progress = False
        self._subscription.subscription.assignment = object()

    def assignment(self) -> frozenset[TP]:
        return frozenset({ITEMS})

    async def committed(self, tp: TP) -> int | None:
        assert tp == ITEMS
        await self.may_answer.wait()
        return self.commit

    def seek(self, tp: TP, offset: int) -> None:
        assert tp == ITEMS
        self.next_offset = offset

    async def position(self, tp: TP) -> int:
        assert tp == ITEMS
        return self.next_offset

    async def seek_to_beginning(self, *tps: TP) -> None:
        assert tps == (ITEMS,)
        self.next_offset = 0

    async def fetched_records(self, partitions: Any, **_: Any) -> dict[TP, list[SlimRecord]]:
        await self.may_fetch.wait()
        if partitions and ITEMS not in partitions:
            return {}
        self.next_offset += 1
        return {ITEMS: [SlimRecord(self.next_offset - 1)]}


class Reader:
    """The consumer under test, its thread's work done in place."""

    def __init__(self, directory: Path) -> None:
        settings = EngineSettings(
            "dedupe", KafkaSettings(), directory, stall_seconds=30.0, session_timeout_seconds=10.0
        )
        self.log = Log()
        self.app = WorkerBuilder(settings).app
        transport: Any = self.app.transport
        self.consumer = transport.create_consumer(
            callback=self._nothing, on_partitions_revoked=self._nothing, on_partitions_assigned=self._nothing
        )
        self.consumer.threadsafe_partitions_revoked = self._revoked
        self.consumer.thread._consumer = self.log
        self.consumer.thread.call_thread = self._here
        self.consumer.resume_partitions({ITEMS})
        self.consumer.resume_flow()
        self.while_revoking: Callable[[], None] = lambda: None

    async def _here(self, work: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        result = await work(*args, **kwargs)
        if work == self.consumer.thread._fetch_records:
            await self.log.may_return.wait()
        return result

    async def _nothing(self, *_: Any) -> None: ...

    async def _revoked(self, *_: Any) -> None:
        self.consumer.stop_flow()
        self.while_revoking()

    async def rebalance(self) -> None:
        """Revoke and assign the partition, up to the point where Faust seeks."""
        self.log.revoke()
        await self.consumer.thread.on_partitions_revoked({ITEMS})
        self.log.assign()

    async def read(self) -> list[RecordBatch]:
        """Return the batches of one `getmany`."""
        return [message.value async for _, message in self.consumer.getmany(1.0)]

    async def start_read_until(self, event: asyncio.Event) -> asyncio.Task[list[RecordBatch]]:
        """Start a `read` and return when it waits for *event*."""
        event.clear()
        reading = asyncio.create_task(self.read())
        await run_pending()
        return reading


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.consumer.thread.thread_loop.close()


async def run_pending() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def bounds(batches: list[RecordBatch]) -> list[tuple[int, int]]:
    """Return the first and last offset of each batch."""
    return [(batch.complete_from, batch.last_offset) for batch in batches]


async def test_partition_is_read_from_its_committed_offset(reader: Reader) -> None:
    reader.log.commit = 7
    await reader.consumer.perform_seek()
    assert [bounds(await reader.read()) for _ in range(2)] == [[(7, 7)], [(8, 8)]]


async def test_offset_of_the_last_commit_before_a_revocation_is_not_committed_again(reader: Reader) -> None:
    """The group's offset would go back if another worker has committed since: its lag would show what is done."""
    proofs = reader.consumer.thread.proofs
    proofs.note({ITEMS: 2})
    reader.while_revoking = lambda: proofs.note({ITEMS: 3})
    await reader.rebalance()
    assert proofs._offsets == {}


async def test_batch_fetched_before_the_seek_is_dropped_and_fetched_again(reader: Reader) -> None:
    """Delivered, it would reach no task, and the next record would reach one that misses it."""
    assert await reader.read() == []
    assert reader.log.next_offset == 1
    await reader.consumer.perform_seek()
    assert bounds(await reader.read()) == [(0, 0)]


async def test_batch_of_an_older_epoch_is_dropped_and_fetched_again(reader: Reader) -> None:
    await reader.consumer.perform_seek()
    reading = await reader.start_read_until(reader.log.may_return)
    assert reader.log.next_offset == 1
    await reader.rebalance()
    await reader.consumer.perform_seek()
    reader.consumer.resume_flow()
    reader.log.may_return.set()
    assert await reading == []
    assert bounds(await reader.read()) == [(0, 0)]


async def test_batch_of_the_current_epoch_waits_for_the_flow_and_is_delivered(reader: Reader) -> None:
    """Nothing seeks again, so dropping it would leave a gap."""
    await reader.consumer.perform_seek()
    reading = await reader.start_read_until(reader.log.may_fetch)
    await reader.rebalance()
    reader.log.commit = 3
    await reader.consumer.perform_seek()
    reader.log.may_fetch.set()
    await run_pending()
    assert reader.log.next_offset == 4
    assert not reading.done()
    reader.consumer.resume_flow()
    assert bounds(await reading) == [(3, 3)]
    assert bounds(await reader.read()) == [(4, 4)]


async def test_seek_overtaken_by_a_rebalance_is_an_error(reader: Reader) -> None:
    """It would start an epoch of the next assignment before that is sought itself."""
    reader.log.revoke()
    with pytest.raises(IllegalStateError):
        await reader.consumer.perform_seek()
    with pytest.raises(IllegalStateError):
        await reader.consumer.seek_wait({ITEMS: 5})
    reader.log.assign()
    reader.log.may_answer.clear()
    seeking = asyncio.create_task(reader.consumer.perform_seek())
    await run_pending()
    await reader.rebalance()
    reader.log.may_answer.set()
    with pytest.raises(IllegalStateError):
        await seeking
    reader.consumer.resume_flow()
    assert await reader.read() == []


async def test_fetch_with_all_partitions_paused_returns_none_of_them(reader: Reader) -> None:
    await reader.consumer.perform_seek()
    reading = await reader.start_read_until(reader.log.may_fetch)
    reader.consumer.pause_partitions({ITEMS})
    reader.log.may_fetch.set()
    assert await reading == []
    reader.consumer.resume_partitions({ITEMS})
    assert bounds(await reader.read()) == [(0, 0)]


async def test_flow_resumed_twice_keeps_its_queues(reader: Reader) -> None:
    flow = reader.app.flow_control
    queue: FlowControlQueue[int] = FlowControlQueue(flow_control=flow, clear_on_resume=True)
    flow.resume()
    queue.put_nowait(1)
    flow.resume()
    assert queue.qsize() == 1
    flow.suspend()
    flow.resume()
    assert queue.empty()


async def test_rebalance_clears_the_last_read_offsets(reader: Reader) -> None:
    """Faust drops offsets below the last one that it delivered."""
    reader.consumer._read_offset[ITEMS] = 50
    await reader.consumer.on_partitions_assigned(set(), 2)
    assert reader.consumer._read_offset[ITEMS] is None


class PausedPartition:
    """aiokafka's state of a changelog partition that is paused after its recovery, and asked for it at 600 s."""

    timestamp = 600_000
    highwater = 9
    position = 4


@pytest.mark.parametrize("overridden", [True, False])
async def test_healthy_worker_logs_no_error_about_paused_partitions(
    reader: Reader, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, overridden: bool
) -> None:
    """Without the override, Faust logs one every 2.5 s for each changelog partition after five minutes."""
    if not overridden:
        monkeypatch.delattr(BatchConsumerThread, "verify_event_path")
    monkeypatch.setattr(reader.app.topics, "acks_enabled_for", lambda topic: topic == ITEMS.topic)
    assignment = SimpleNamespace(active=True, state_value=lambda _: PausedPartition())
    reader.log._subscriptions.subscription = SimpleNamespace(assignment=assignment)
    reader.consumer.thread.time_started = 0.0
    with caplog.at_level("ERROR"):
        reader.consumer.verify_event_path(now=600.0, tp=ITEMS)

    assert ("Stream has not started processing" in caplog.text) is not overridden
    assert (caplog.text == "") is overridden


@pytest.mark.parametrize("service", [BatchApp, BatchConsumer, BatchConsumerThread, PartitionedStore])
def test_services_log_under_the_name_of_faust(service: type[Any]) -> None:
    """`deploy.logging` limits that name to warnings; Faust logs each step of each service's life."""
    assert service.logger.name.startswith("faust.")
