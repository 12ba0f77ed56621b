"""Lets queries run side by side, and none while the engine is opened anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Counts what runs. For one event loop."""

    def __init__(self) -> None:
        self._running = 0
        self._open, self._idle = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._idle.set()
        self._closing = asyncio.Lock()

    @asynccontextmanager
    async def query(self) -> AsyncIterator[None]:
        """Wait while the gate is closed, and keep it open for the block."""
        while not self._open.is_set():
            await self._open.wait()
        self._running += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._running -= 1
            if self._running == 0:
                self._idle.set()

    @asynccontextmanager
    async def closed(self, within_seconds: float) -> AsyncIterator[None]:
        """Let no query begin until the end of the block, which starts once none runs.

        Raises `TimeoutError` if one still runs after *within_seconds*; the gate is then open again.
        """
        async with self._closing:
            self._open.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), within_seconds)
                yield
            finally:
                self._open.set()
