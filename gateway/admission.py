"""Admission control: the memory of requests in progress, the item rate of each project, and validation per tick.

Memory is reserved for bytes that have arrived, and no project takes more than its share of it. Requests without a token
in their headers have a budget of their own, in `gateway.http.sender_budget`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from gateway.errors import OverloadedError, RateLimitedError


class MemoryBudget:
    """Bytes of request bodies and pending records. Rejecting requests above the limit bounds the process's memory."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.reserved_bytes = 0
        self.on_refusal: Callable[[], None] = _ignore
        """Called for every request that is refused."""

    @property
    def is_exhausted(self) -> bool:
        """Whether every further request is refused."""
        return self.reserved_bytes >= self._limit_bytes

    def check(self) -> None:
        """Raise `OverloadedError` while more than the limit is reserved."""
        self.reserve(0)

    def reserve(self, count: int) -> None:
        """Reserve *count* bytes; raise `OverloadedError` and reserve nothing if the limit would be exceeded."""
        if self.reserved_bytes + count > self._limit_bytes:
            self.on_refusal()
            raise OverloadedError
        self.reserved_bytes += count

    def charge(self, count: int) -> None:
        """Reserve *count* bytes that are in memory already, even above the limit; later requests are rejected."""
        self.reserved_bytes += count

    def release(self, count: int) -> None:
        """Return *count* bytes that were reserved or charged."""
        self.reserved_bytes -= count


def _ignore() -> None:
    pass


class ProjectShares:
    """Bytes of each project's requests, from their arrival to Kafka's acknowledgement.

    No project holds more than the limit, so requests of the others find memory while it waits.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held: dict[str, int] = {}

    def reserve(self, project_id: str, count: int) -> None:
        """Reserve *count* bytes for the project; raise `OverloadedError` and reserve nothing above the limit."""
        held = self._held.get(project_id, 0) + count
        if held > self._limit_bytes:
            raise OverloadedError("project_share")
        self._held[project_id] = held

    def check(self, project_id: str) -> None:
        """Raise `OverloadedError` while the project holds more than the limit."""
        if self._held.get(project_id, 0) > self._limit_bytes:
            raise OverloadedError("project_share")

    def charge(self, project_id: str, count: int) -> None:
        """Count *count* bytes of the project, even above the limit."""
        self._held[project_id] = self._held.get(project_id, 0) + count

    def release(self, project_id: str, count: int) -> None:
        """Return *count* bytes of the project."""
        held = self._held[project_id] - count
        if held:
            self._held[project_id] = held
        else:
            del self._held[project_id]


class Reservation:
    """What one request of a known project holds: memory while it has a body, and its share until it is answered."""

    __slots__ = ("_budget", "_memory", "_project_id", "_shared", "_shares")

    def __init__(self, budget: MemoryBudget, shares: ProjectShares, project_id: str) -> None:
        self._budget = budget
        self._shares = shares
        self._project_id = project_id
        self._memory = 0
        self._shared = 0

    def reserve(self, count: int) -> None:
        """Reserve *count* more bytes, or raise `OverloadedError`."""
        self._shares.reserve(self._project_id, count)
        self._shared += count
        self._budget.reserve(count)
        self._memory += count

    def check_share(self) -> None:
        """Raise `OverloadedError` if records of the project have exceeded its share since the bytes were reserved."""
        self._shares.check(self._project_id)

    def cover(self, record_bytes: int) -> None:
        """Hold *record_bytes* of the share where the body had fewer: `context` is in the record of every item."""
        if (more := record_bytes - self._shared) > 0:
            self._shares.charge(self._project_id, more)
            self._shared += more

    def release_memory(self) -> None:
        """Return all bytes to the budget. The share keeps them: the records of the body wait for Kafka."""
        self._budget.release(self._memory)
        self._memory = 0

    def release(self) -> None:
        """Return everything."""
        if self._memory:
            self.release_memory()
        if self._shared:
            self._shares.release(self._project_id, self._shared)
            self._shared = 0


class TokenBucket:
    """A rate with a burst. A request is admitted while at least one item is left, and may leave a debt.

    A batch larger than the burst is therefore accepted once the bucket allows it, and the average rate still holds.
    """

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self.per_second = per_second
        self.burst = burst
        self._capacity = max(burst, 1.0)
        self._available = self._capacity
        self._updated_at = now

    def check(self, now: float) -> None:
        """Raise `RateLimitedError` if no item is left at *now* (seconds of a monotonic clock)."""
        self._available = min(self._capacity, self._available + (now - self._updated_at) * self.per_second)
        self._updated_at = now
        if self._available < 1:
            raise RateLimitedError((1 - self._available) / self.per_second)

    def spend(self, count: int, now: float) -> None:
        """Spend *count* items at *now*; raise `RateLimitedError` and spend nothing if no item is left."""
        self.check(now)
        self._available -= count


class ProjectRates:
    """One token bucket per rate-limited project. Each gateway process counts alone: two gateways admit twice the rate.

    A *rate* is items per second and burst.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def check(self, project_id: str, rate: tuple[float, float], now: float) -> None:
        """Raise `RateLimitedError` if the project may send no item at *now*."""
        self._bucket(project_id, rate, now).check(now)

    def spend(self, project_id: str, rate: tuple[float, float], count: int, now: float) -> None:
        """Spend *count* items of the project at *now*, or raise `RateLimitedError`."""
        self._bucket(project_id, rate, now).spend(count, now)

    def _bucket(self, project_id: str, rate: tuple[float, float], now: float) -> TokenBucket:
        bucket = self._buckets.get(project_id)
        if bucket is None or (bucket.per_second, bucket.burst) != rate:
            bucket = self._buckets[project_id] = TokenBucket(*rate, now)
        return bucket


class LoopThrottle:
    """Bounds the work of each iteration of the event loop; the rest waits for later ones, in order of arrival.

    An acknowledgement from Kafka needs several iterations to become a reply, so validating every waiting request in one
    iteration would delay all replies. Small requests share an iteration, because an iteration costs as much as one of
    them. A request above the limit has one of its own.
    """

    LIMIT_BYTES = 32 * 1024
    """Work of an iteration: 0.3 to 0.8 ms. With half of it, flushes have a third fewer records."""
    REQUEST_BYTES = 1024
    """Work of a request beside that of its body, in bytes of body."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._used = 0
        """Of the current iteration. 0 if the throttle is free."""

    def call(self, work: Callable[[], None], size_bytes: int) -> None:
        """Call *work* for a body of *size_bytes*: at once if this iteration has room, otherwise in a later one."""
        cost = size_bytes + self.REQUEST_BYTES
        if self._waiting or (self._used and self._used + cost > self.LIMIT_BYTES):
            self._waiting.append((cost, work))
            return
        if not self._used:
            self._schedule()
        self._used += cost
        work()

    async def next_tick(self, size_bytes: int) -> None:
        """Return in the iteration that has room for a body of *size_bytes*: at once if this one has."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call(partial(_complete, admitted), size_bytes)
        await admitted

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._begin_iteration)

    def _begin_iteration(self) -> None:
        self._used = 0
        if not self._waiting:
            return
        self._schedule()
        while self._waiting and (not self._used or self._used + self._waiting[0][0] <= self.LIMIT_BYTES):
            cost, work = self._waiting.popleft()
            self._used += cost
            work()


def _complete(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
