"""One partition's way to Kafka: an open batch that every request appends to, and one batch under way.

The open batch is sent as soon as the one before it is acknowledged and some milliseconds after the last of any lane, so
batches grow with the load and nothing waits when there is none. Nothing is awaited per record or per batch by a
request: its `PendingDelivery` is settled by the last of the batches that hold its records.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.admission import MemoryBudget
from gateway.errors import PublishError, PublishTimeoutError
from schemas.records import KeyValue

Deliver = Callable[[Any, str, int], Awaitable[None]]
"""Send aiokafka's batch builder to a topic and partition; return when it is acknowledged, raise `PublishError`."""


SPACING_SECONDS = 0.005
"""Batches that follow so soon on others wait: with less the broker spends most of its time on requests."""
LONGEST_SPACING_SECONDS = 0.015
"""So long they wait at most while others may join."""
_CLOCK_SECONDS = 0.001
"""A timer may be early by the loop's resolution: what has waited so long as its request did is overdue."""

_NO_HEADERS: list[tuple[str, bytes]] = []


class PendingDelivery:
    """One request's records, however many batches they are spread over."""

    __slots__ = ("_failed", "_open", "future")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self._open = 0
        self._failed = False

    def expire(self) -> None:
        """The time for it is over; what is under way goes on."""
        if not self.future.done():
            self.future.set_exception(PublishTimeoutError())

    def joined(self) -> None:
        """One more batch holds records of this request."""
        self._open += 1

    def settle(self, *, failed: bool) -> None:
        """One of its batches is done; the last one settles the request."""
        self._open -= 1
        self._failed |= failed
        if self._open == 0 and not self.future.done():
            if self._failed:
                self.future.set_exception(PublishError())
            else:
                self.future.set_result(None)


class DeliveryTimeouts:
    """Expires the tickets that wait for too long. All may wait equally long, so one timer does: that of the oldest."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, PendingDelivery]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, ticket: PendingDelivery) -> None:
        """Expire *ticket* unless it is settled in time."""
        waiting = self._waiting
        while waiting and waiting[0][1].future.done():
            waiting.popleft()
        loop = asyncio.get_running_loop()
        waiting.append((loop.time() + self._seconds, ticket))
        if self._timer is None:
            self._timer = loop.call_at(waiting[0][0], self._expire, loop)

    def close(self) -> None:
        """Expire nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._waiting
        while waiting and (waiting[0][0] <= loop.time() or waiting[0][1].future.done()):
            waiting.popleft()[1].expire()
        self._timer = loop.call_at(waiting[0][0], self._expire, loop) if waiting else None


class _Batch:
    __slots__ = ("builder", "opened_at", "size_bytes", "tickets")

    def __init__(self, builder: Any, opened_at: float) -> None:
        self.builder = builder
        self.opened_at = opened_at
        self.size_bytes = 0
        self.tickets: list[PendingDelivery] = []

    def fill(self, records: Sequence[KeyValue], timestamp_ms: int) -> int:
        """Append *records* until no more fit, and return how many did: one at least where there were none.

        aiokafka's own method takes longer for a record than the compiled one that it calls.
        """
        append = self.builder._builder.append  # noqa: SLF001
        first: int = self.builder._relative_offset  # noqa: SLF001
        offset = first
        for key, value in records:
            if append(offset, timestamp_ms, key, value, _NO_HEADERS) is None:
                break
            offset += 1
        self.builder._relative_offset = offset  # noqa: SLF001
        return offset - first


class Linger:
    """When batches set out: those of all lanes together, which makes one request to each broker of them."""

    def __init__(self, connections: Callable[[], int]) -> None:
        self._connections = connections
        self._waiting_requests = 0
        self._began = -math.inf
        self._departure: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None

    def joined(self) -> None:
        """One more request waits: nothing else comes from its connection before it is answered."""
        self._waiting_requests += 1
        if self._timer is not None and not self._others_may_join():
            self._timer.cancel()
            self._timer = None
            asyncio.get_running_loop().call_soon(self._set_out)

    async def wait(self) -> None:
        """Return when the caller's batch may set out, together with all that are ready by then.

        That is at once, unless the last ones have done so just now. While another connection may bring more, what waits
        takes it along, for a little longer: a departure has a cost of its own, however little it takes.
        """
        if self._departure is None:
            self._departure = asyncio.Event()
            # In the next round: lanes whose batches were acknowledged together become ready in the same one.
            asyncio.get_running_loop().call_soon(self._set_out)
        await self._departure.wait()

    def _others_may_join(self) -> bool:
        return self._connections() > self._waiting_requests

    def _set_out(self) -> None:
        """Let go what waits, or look again when it is time."""
        self._timer = None
        loop = asyncio.get_running_loop()
        longest = self._began + LONGEST_SPACING_SECONDS
        due = longest if self._others_may_join() else self._began + SPACING_SECONDS
        if due > loop.time():
            self._timer = loop.call_at(due, self._set_out)
        elif self._departure is not None:
            self._began = loop.time()
            self._waiting_requests = 0
            self._departure.set()
            self._departure = None


@dataclass(frozen=True, slots=True)
class Outlet:
    """What all lanes share: the producer, the memory, the pace."""

    deliver: Deliver
    create_batch: Callable[[], Any]
    budget: MemoryBudget
    pace: Linger


class PartitionBatches:
    """The batches of one partition, in order."""

    def __init__(self, topic: str, partition: int, outlet: Outlet) -> None:
        self._topic = topic
        self._partition = partition
        self._deliver = outlet.deliver
        self._create_batch = outlet.create_batch
        self._budget = outlet.budget
        self._pace = outlet.pace
        self._waiting: deque[_Batch] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way: _Batch | None = None
        self._acknowledged_at = -math.inf
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name=f"lane {topic}/{partition}")

    def add(self, records: Sequence[KeyValue], ticket: PendingDelivery, timestamp_ms: int) -> None:
        """Append *records*, one at least, and hold their bytes; *ticket* hears of every batch that took some."""
        batch = self._waiting[-1] if self._waiting else self._open()
        left = records
        while left:
            count = batch.fill(left, timestamp_ms)
            if count:
                self._join(batch, ticket)
            left = left[count:]
            if left:
                batch = self._open()
        self._idle.clear()
        self._filled.set()

    def is_overdue(self, seconds: float) -> bool:
        """Return whether the batch under way has waited for *seconds* while none was acknowledged, or none is sent."""
        if self._under_way is None:
            return self._task.done()
        since = max(self._under_way.opened_at, self._acknowledged_at)
        return self._loop.time() - since > seconds - _CLOCK_SECONDS

    async def drain(self) -> None:
        """Return when every batch is settled."""
        await self._idle.wait()

    async def close(self) -> None:
        """End the lane; what it still holds fails."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            self._settle(self._waiting.popleft(), failed=True)

    def _open(self) -> _Batch:
        batch = _Batch(self._create_batch(), self._loop.time())
        self._waiting.append(batch)
        return batch

    def _join(self, batch: _Batch, ticket: PendingDelivery) -> None:
        batch.tickets.append(ticket)
        ticket.joined()
        size_bytes = batch.builder.size()
        self._budget.held_bytes += size_bytes - batch.size_bytes
        batch.size_bytes = size_bytes

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
                self._filled.clear()
                await self._filled.wait()
            await self._pace.wait()
            batch = self._under_way = self._waiting.popleft()
            failed = True
            try:
                await self._deliver(batch.builder, self._topic, self._partition)
                failed = False
                self._acknowledged_at = self._loop.time()
            except PublishError:
                pass  # counted and logged where it was raised; the requests hear of it below
            finally:
                self._under_way = None
                self._settle(batch, failed=failed)

    def _settle(self, batch: _Batch, *, failed: bool) -> None:
        self._budget.release(batch.size_bytes)
        for ticket in batch.tickets:
            ticket.settle(failed=failed)
