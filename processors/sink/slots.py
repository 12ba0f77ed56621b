"""Slots for batches in memory. A batch that waits for its own sake gives its slot to others."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Slots:
    """A number of slots."""

    def __init__(self, number: int) -> None:
        self._free = asyncio.Semaphore(number)

    def take(self) -> Slot:
        """Return a slot, which is taken by `async with`."""
        return Slot(self._free)


class Slot:
    """One slot, until the end of its block or until `release`."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._is_taken = False

    async def __aenter__(self) -> Self:
        """Wait for a free slot and take it."""
        await self._free.acquire()
        self._is_taken = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the slot."""
        self.release()

    def release(self) -> None:
        """Give the slot to the next batch; the second time this changes nothing."""
        if self._is_taken:
            self._is_taken = False
            self._free.release()
