"""Group commit: what is submitted while a write is in progress goes together into the next one.

The dedupe and persons workers use it for records of all partitions to one topic, the sink for blocks of all partitions
into one table: each produce request and each INSERT has a fixed cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class _Pending(Generic[T]):
    __slots__ = ("item", "outcome")

    def __init__(self, item: T) -> None:
        self.item = item
        self.outcome: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        """The error of the write, None if it succeeded."""


class Coalescer(Generic[T]):
    """Runs one write at a time, with everything that was submitted meanwhile, in the order of submission.

    *fits* tells whether an item may join those already chosen for a write; without it all join. *linger_seconds* delays
    the first write after a pause. With *finish_on_cancel*, a waiter that is cancelled during its write waits for the
    end of it. An error of a write is raised for each of its items: which of them were written, the waiters must ask.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[None]],
        *,
        fits: Callable[[Sequence[T], T], bool] = lambda chosen, item: True,  # noqa: ARG005  # no limit
        linger_seconds: float = 0.0,
        finish_on_cancel: bool = False,
    ) -> None:
        self._write = write
        self._fits = fits
        self._linger_seconds = linger_seconds
        self._finish_on_cancel = finish_on_cancel
        self._pending: list[_Pending[T]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> None:
        """Return when *item* is written, or raise the error of its write.

        An item whose waiter is cancelled before its write begins is not written.
        """
        pending = _Pending(item)
        self._pending.append(pending)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            error = await asyncio.shield(pending.outcome)
        except asyncio.CancelledError:
            if pending in self._pending:
                self._pending.remove(pending)
            elif self._finish_on_cancel:
                await asyncio.wait([pending.outcome])
            raise
        if error is not None:
            raise error

    async def _run(self) -> None:
        try:
            if self._linger_seconds:
                await asyncio.sleep(self._linger_seconds)
            while self._pending:
                await self._write_together(self._next())
        finally:
            self._task = None

    def _next(self) -> list[_Pending[T]]:
        chosen: list[_Pending[T]] = []
        items: list[T] = []
        left: list[_Pending[T]] = []
        for pending in self._pending:
            if not items or self._fits(items, pending.item):
                chosen.append(pending)
                items.append(pending.item)
            else:
                left.append(pending)
        self._pending = left
        return chosen

    async def _write_together(self, batch: Sequence[_Pending[T]]) -> None:
        failure: Exception | None = None
        try:
            await self._write([pending.item for pending in batch])
        except Exception as error:  # noqa: BLE001  # every waiter gets the error
            failure = error
        for pending in batch:
            pending.outcome.set_result(failure)


async def finish_despite_cancel(work: Awaitable[T]) -> T:
    """Return what *work* returns. If this is cancelled, wait for the end of *work* first, then raise CancelledError."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
