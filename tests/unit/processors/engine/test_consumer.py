"""Fetches that a rebalance meets: what nobody fetches again goes on, what is fetched again does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP
from mode.utils.queues import FlowControlQueue

from processors.engine.app import EngineSettings, WorkerBuilder
from processors.engine.stage import RecordBatch
from schemas.settings import KafkaSettings
from tests.support.records import SlimRecord

ITEMS = TP("items", 0)


class Log:
    """aiokafka's consumer of one partition: a record at every offset, each a fetch of its own."""

    def __init__(self) -> None:
        self.commit: int | None = None
        self.position = 0
        self.begins = asyncio.Event()
        """A fetch waits for it before it reads."""
        self.begins.set()
        self.arrives = asyncio.Event()
        """And for this one when it has."""
        self.arrives.set()
        self.answers = asyncio.Event()
        """What is committed is told no sooner."""
        self.answers.set()
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
        await self.answers.wait()
        return self.commit

    def seek(self, tp: TP, offset: int) -> None:
        assert tp == ITEMS
        self.position = offset

    async def seek_to_beginning(self, *tps: TP) -> None:
        assert tps == (ITEMS,)
        self.position = 0

    async def fetched_records(self, partitions: Any, **_: Any) -> dict[TP, list[SlimRecord]]:
        await self.begins.wait()
        if partitions and ITEMS not in partitions:
            return {}
        self.position += 1
        return {ITEMS: [SlimRecord(self.position - 1)]}


class Reader:
    """The consumer under test, its thread's work done in place."""

    def __init__(self, directory: Path) -> None:
        settings = EngineSettings(
            "reader", KafkaSettings(), directory, stall_seconds=30.0, session_timeout_seconds=10.0
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

    async def _here(self, work: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        result = await work(*args, **kwargs)
        if work == self.consumer.thread._fetch_records:
            await self.log.arrives.wait()
        return result

    async def _nothing(self, *_: Any) -> None: ...

    async def _revoked(self, *_: Any) -> None:
        self.consumer.stop_flow()

    async def rebalance(self) -> None:
        """Take the partition away and give it back, up to where Faust seeks."""
        self.log.revoke()
        await self.consumer.thread.on_partitions_revoked({ITEMS})
        self.log.assign()

    async def read(self) -> list[RecordBatch]:
        """Return what one `getmany` brings."""
        return [message.value async for _, message in self.consumer.getmany(1.0)]

    async def read_as_far_as(self, event: asyncio.Event) -> asyncio.Task[list[RecordBatch]]:
        """Begin what `read` does and let it come to where it waits for *event*."""
        event.clear()
        reading = asyncio.create_task(self.read())
        await turns()
        return reading


@pytest.fixture
async def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def bounds(slices: list[RecordBatch]) -> list[tuple[int, int]]:
    """Return where each slice begins and ends."""
    return [(run.begin, run.last_offset) for run in slices]


async def test_a_partition_is_read_on_from_where_it_was_sought(reader: Reader) -> None:
    reader.log.commit = 7
    await reader.consumer.perform_seek()
    assert [bounds(await reader.read()) for _ in range(2)] == [[(7, 7)], [(8, 8)]]


async def test_what_is_fetched_before_the_seek_is_left_to_it(reader: Reader) -> None:
    """Or it would go to a lane that is not open yet, and the next record would come to one that is."""
    assert await reader.read() == []
    assert reader.log.position == 1
    await reader.consumer.perform_seek()
    assert bounds(await reader.read()) == [(0, 0)]


async def test_what_arrives_after_a_seek_but_is_older_is_left_to_it(reader: Reader) -> None:
    await reader.consumer.perform_seek()
    reading = await reader.read_as_far_as(reader.log.arrives)
    assert reader.log.position == 1
    await reader.rebalance()
    await reader.consumer.perform_seek()
    reader.consumer.resume_flow()
    reader.log.arrives.set()
    assert await reading == []
    assert bounds(await reader.read()) == [(0, 0)]


async def test_what_is_fetched_after_the_seek_waits_until_it_may_go_on(reader: Reader) -> None:
    """Nobody seeks again, so dropping it would leave a gap."""
    await reader.consumer.perform_seek()
    reading = await reader.read_as_far_as(reader.log.begins)
    await reader.rebalance()
    reader.log.commit = 3
    await reader.consumer.perform_seek()
    reader.log.begins.set()
    await turns()
    assert reader.log.position == 4
    assert not reading.done()
    reader.consumer.resume_flow()
    assert bounds(await reading) == [(3, 3)]
    assert bounds(await reader.read()) == [(4, 4)]


async def test_a_seek_that_a_rebalance_overtakes_is_none(reader: Reader) -> None:
    """It would vouch for what the next assignment reads before it is sought itself."""
    reader.log.revoke()
    with pytest.raises(IllegalStateError):
        await reader.consumer.perform_seek()
    with pytest.raises(IllegalStateError):
        await reader.consumer.seek_wait({ITEMS: 5})
    reader.log.assign()
    reader.log.answers.clear()
    seeking = asyncio.create_task(reader.consumer.perform_seek())
    await turns()
    await reader.rebalance()
    reader.log.answers.set()
    with pytest.raises(IllegalStateError):
        await seeking
    reader.consumer.resume_flow()
    assert await reader.read() == []


async def test_a_fetch_whose_partitions_are_all_held_back_brings_none_of_them(reader: Reader) -> None:
    await reader.consumer.perform_seek()
    reading = await reader.read_as_far_as(reader.log.begins)
    reader.consumer.pause_partitions({ITEMS})
    reader.log.begins.set()
    assert await reading == []
    reader.consumer.resume_partitions({ITEMS})
    assert bounds(await reader.read()) == [(0, 0)]


async def test_flow_that_is_resumed_twice_keeps_what_came_in_between(reader: Reader) -> None:
    flow = reader.app.flow_control
    queue: FlowControlQueue[int] = FlowControlQueue(flow_control=flow, clear_on_resume=True)
    flow.resume()
    queue.put_nowait(1)
    flow.resume()
    assert queue.qsize() == 1
    flow.suspend()
    flow.resume()
    assert queue.empty()


async def test_what_a_rebalance_cuts_off_does_not_hide_what_comes_after(reader: Reader) -> None:
    """Faust passes over offsets below the last one that it handed on."""
    reader.consumer._read_offset[ITEMS] = 50
    await reader.consumer.on_partitions_assigned(set(), 2)
    assert reader.consumer._read_offset[ITEMS] is None
