"""What the gateway lets in: bytes under way, and items per second of a project. Clocks are passed in."""

from __future__ import annotations

from gateway.errors import OverloadedError, RateLimitedError


class MemoryBudget:
    """Bytes of bodies and records that the process holds. Refusing early is what keeps its memory bounded."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, count: int) -> None:
        """Hold *count* bytes more, or raise `OverloadedError` and hold none of them."""
        if self.held_bytes + count > self._limit_bytes:
            raise OverloadedError
        self.held_bytes += count

    def release(self, count: int) -> None:
        """Give back bytes that `take` held."""
        self.held_bytes -= count


class TokenBucket:
    """A rate with a burst. A request is let in while one item is left and may then leave a debt.

    So a batch larger than the burst is not refused for ever, and the rate holds over time all the same.
    """

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self.per_second = per_second
        self.burst = burst
        self._most = max(burst, 1.0)
        self._left = self._most
        self._at = now

    def take(self, count: int, now: float) -> None:
        """Take *count* at *now* (seconds of any steady clock), or raise `RateLimitedError` and take none."""
        self._left = min(self._most, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left < 1:
            raise RateLimitedError((1 - self._left) / self.per_second)
        self._left -= count


class ProjectRates:
    """One bucket for each project that has a rate, in this process alone: two gateways allow twice the rate."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, project_id: str, rate: tuple[float, float], count: int, now: float) -> None:
        """Take *count* items for the project; *rate* is its items per second and its burst."""
        bucket = self._buckets.get(project_id)
        if bucket is None or (bucket.per_second, bucket.burst) != rate:
            bucket = self._buckets[project_id] = TokenBucket(*rate, now)
        bucket.take(count, now)
