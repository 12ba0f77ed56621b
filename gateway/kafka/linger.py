"""Linger: when open batches are flushed. All partitions share one, so each broker gets one produce request per flush.

Kafka's producers call this `linger.ms`. The linger is constant and depends on nothing but the previous flush.
"""

from __future__ import annotations

import asyncio
import math

LINGER_SECONDS = 0.005
"""Least time between two flushes. With less, the broker spends most of its time on produce requests."""


class Linger:
    """Flushes all waiting partitions together: at once if the last flush is older than the linger, else when it is."""

    def __init__(self, seconds: float = LINGER_SECONDS) -> None:
        self._seconds = seconds
        self._flushed_at = -math.inf
        self._next_flush: asyncio.Event | None = None

    async def wait(self) -> None:
        """Return at the next flush."""
        if self._next_flush is None:
            self._next_flush = asyncio.Event()
            self._schedule(asyncio.get_running_loop())
        await self._next_flush.wait()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._flushed_at + self._seconds
        if due > loop.time():
            loop.call_at(due, self._flush, loop)
        else:
            # One iteration later, so that partitions whose batches were acknowledged together share the flush.
            loop.call_soon(self._flush, loop)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flushed_at = loop.time()
        if self._next_flush is not None:
            self._next_flush.set()
            self._next_flush = None
