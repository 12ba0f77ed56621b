"""Shares of the event loop's time: work that only some senders cause leaves the rest of it to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class TimeShare:
    """Gives a kind of work a share of the event loop's time, one after the other.

    After work of t seconds the next waits t * (1 / share - 1) seconds. Work of up to *free_seconds* costs nothing.
    *clock* returns seconds.
    """

    LARGEST_DEBT_SECONDS = 0.005
    """Time that may be used in advance. The timers of the loop count milliseconds."""

    def __init__(self, share: float, clock: Callable[[], float], *, free_seconds: float = 0.0) -> None:
        self._free_seconds = free_seconds
        self._rest_per_second = 1 / share - 1
        self._clock = clock
        self._lock = asyncio.Lock()
        self._paid_at = 0.0

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return the result of *work*."""
        async with self._lock:
            debt = self._paid_at - self._clock()
            if debt > self.LARGEST_DEBT_SECONDS:
                await asyncio.sleep(debt)
            started = self._clock()
            try:
                return work()
            finally:
                now = self._clock()
                if now - started > self._free_seconds:
                    self._paid_at = max(self._paid_at, now) + (now - started) * self._rest_per_second
