"""Per-partition record accumulator.

Requests append to the open batch of each partition. A batch is flushed when the previous batch of its partition is
acknowledged and the linger has elapsed. Batches therefore grow with the load, and an idle gateway sends immediately.
A request awaits one future, its `PendingDelivery`, however many records and batches it has.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway.admission import MemoryBudget
from gateway.errors import PublishError, PublishTimeoutError
from gateway.kafka.aiokafka_private import append_records
from gateway.kafka.linger import Linger
from schemas.records import KeyValue

Deliver = Callable[[Any, str, int], Awaitable[None]]
"""Sends aiokafka's batch builder to a topic and partition; returns on acknowledgement or raises `PublishError`."""

_CLOCK_SECONDS = 0.001
"""Resolution of the loop's timers. A batch counts as stalled this much early, when the timeout of its request fires."""


class PendingDelivery:
    """The delivery of one request's records. *future* completes when the last of its batches does."""

    __slots__ = ("_batches", "_failed", "future")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self._batches = 0
        self._failed = False

    def expire(self) -> None:
        """Fail the request with `PublishTimeoutError`. Its batches stay in flight and may still be written."""
        if not self.future.done():
            self.future.set_exception(PublishTimeoutError())

    def batch_added(self) -> None:
        """Count one more batch that holds records of this request."""
        self._batches += 1

    def batch_done(self, *, failed: bool) -> None:
        """Count one batch as acknowledged or failed; the last one completes the future."""
        self._batches -= 1
        self._failed |= failed
        if self._batches == 0 and not self.future.done():
            if self._failed:
                self.future.set_exception(PublishError())
            else:
                self.future.set_result(None)


class DeliveryTimeouts:
    """Expires deliveries after one fixed timeout. As all have the same, one timer suffices: that of the oldest."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._pending: deque[tuple[float, PendingDelivery]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, delivery: PendingDelivery) -> None:
        """Expire *delivery* after the timeout unless it completes before."""
        pending = self._pending
        while pending and pending[0][1].future.done():
            pending.popleft()
        loop = delivery.future.get_loop()
        pending.append((loop.time() + self._seconds, delivery))
        if self._timer is None:
            self._timer = loop.call_at(pending[0][0], self._expire, loop)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        pending = self._pending
        while pending and (pending[0][0] <= loop.time() or pending[0][1].future.done()):
            pending.popleft()[1].expire()
        self._timer = loop.call_at(pending[0][0], self._expire, loop) if pending else None


class _Batch:
    __slots__ = ("builder", "deliveries", "opened_at", "size_bytes")

    def __init__(self, builder: Any, opened_at: float) -> None:
        self.builder = builder
        self.opened_at = opened_at
        self.size_bytes = 0
        self.deliveries: list[PendingDelivery] = []


class PartitionBatches:
    """The batches of one partition, sent in order, one in flight at a time."""

    def __init__(  # noqa: PLR0913  # two for the partition, and the collaborators that all partitions share
        self,
        topic: str,
        partition: int,
        *,
        deliver: Deliver,
        create_batch: Callable[[], Any],
        budget: MemoryBudget,
        linger: Linger,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._deliver = deliver
        self._create_batch = create_batch
        self._budget = budget
        self._linger = linger
        self._waiting: deque[_Batch] = deque()
        self._has_records = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._in_flight: _Batch | None = None
        self._acknowledged_at = -math.inf
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._send_batches(), name=f"batches of {topic}/{partition}")

    def add(self, records: Sequence[KeyValue], delivery: PendingDelivery, timestamp_ms: int) -> None:
        """Append *records* (at least one) and charge their bytes; register every batch used with *delivery*."""
        batch = self._waiting[-1] if self._waiting else self._open_batch()
        left = records
        while left:
            count = append_records(batch.builder, left, timestamp_ms)
            if count:
                self._register(batch, delivery)
            left = left[count:]
            if left:
                batch = self._open_batch()
        self._drained.clear()
        self._has_records.set()

    def is_stalled(self, seconds: float) -> bool:
        """Return whether the batch in flight has gone *seconds* without an acknowledgement, or sending has ended."""
        if self._in_flight is None:
            return self._task.done()
        since = max(self._in_flight.opened_at, self._acknowledged_at)
        return self._loop.time() - since > seconds - _CLOCK_SECONDS

    async def drain(self) -> None:
        """Return when every batch is acknowledged or failed."""
        await self._drained.wait()

    async def close(self) -> None:
        """Stop sending and fail every batch that is left."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            self._complete(self._waiting.popleft(), failed=True)

    def _open_batch(self) -> _Batch:
        batch = _Batch(self._create_batch(), self._loop.time())
        self._waiting.append(batch)
        return batch

    def _register(self, batch: _Batch, delivery: PendingDelivery) -> None:
        batch.deliveries.append(delivery)
        delivery.batch_added()
        size_bytes = batch.builder.size()
        self._budget.charge(size_bytes - batch.size_bytes)
        batch.size_bytes = size_bytes

    async def _send_batches(self) -> None:
        while True:
            if not self._waiting:
                self._drained.set()
                self._has_records.clear()
                await self._has_records.wait()
            await self._linger.wait()
            batch = self._in_flight = self._waiting.popleft()
            failed = True
            try:
                await self._deliver(batch.builder, self._topic, self._partition)
                failed = False
                self._acknowledged_at = self._loop.time()
            except PublishError:
                pass  # counted and logged where it was raised; `_complete` fails the requests
            finally:
                self._in_flight = None
                self._complete(batch, failed=failed)

    def _complete(self, batch: _Batch, *, failed: bool) -> None:
        self._budget.release(batch.size_bytes)
        for delivery in batch.deliveries:
            delivery.batch_done(failed=failed)
