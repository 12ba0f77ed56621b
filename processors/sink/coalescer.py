"""Lets blocks of several partitions into ClickHouse with one INSERT, which costs as much as a thousand rows by itself.

Only what goes well goes together: whatever a joint INSERT meets, each of those who wait hears of it and finds out for
its own partition what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from processors.clickhouse.errors import RefusedRowsError
from processors.sink.rows import BLOCK_BYTES, Block

JOIN_SECONDS = 0.005
"""How long the first INSERT after a pause waits for blocks that set out with its own."""
JOINT_ROWS = 30_000
"""Rows of a joint INSERT at most: with more the engine needs hardly less for each."""


class _Waiting:
    __slots__ = ("block", "future", "given_up")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        """The error, None when it is written."""
        self.given_up = False


class InsertCoalescer:
    """Writes blocks of one table, one INSERT at a time: those that wait meanwhile are the next one."""

    def __init__(self, write: Callable[[Sequence[Block]], None]) -> None:
        self._write = write
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, block: Block) -> None:
        """Return when *block* is written, or raise what its INSERT raised.

        Cancelled, it does not begin any more, and one that has begun ends first: its partition is about to go.
        """
        waiting = _Waiting(block)
        self._waiting.append(waiting)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"inserts into {block.table.name}")
        try:
            error = await asyncio.shield(waiting.future)
        except asyncio.CancelledError:
            waiting.given_up = True
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:
                await asyncio.wait([waiting.future])
            raise
        if error is not None:
            raise error

    async def _run(self) -> None:
        try:
            await asyncio.sleep(JOIN_SECONDS)
            while self._waiting:
                await self._insert(self._take())
        finally:
            self._task = None

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        left: list[_Waiting] = []
        rows = size_bytes = 0
        for waiting in self._waiting:
            block = waiting.block
            rows += len(block.rows)
            size_bytes += block.size_bytes
            fits = rows <= JOINT_ROWS and size_bytes <= BLOCK_BYTES and block.month == self._waiting[0].block.month
            (taken if fits or not taken else left).append(waiting)
        self._waiting = left
        return taken

    async def _insert(self, together: Sequence[_Waiting]) -> None:
        try:
            await asyncio.to_thread(self._write, [waiting.block for waiting in together])
        except Exception as error:  # noqa: BLE001  # whoever waits hears of it
            if isinstance(error, RefusedRowsError) and len(together) > 1:
                await self._insert_alone(together)
            else:
                _tell(together, error)
        else:
            _tell(together, None)

    async def _insert_alone(self, together: Sequence[_Waiting]) -> None:
        """Write one by one what nothing was written of, because one of them has a row that the engine refuses."""
        for waiting in together:
            if waiting.given_up:
                _tell([waiting], None)
            else:
                await self._insert([waiting])


def _tell(together: Sequence[_Waiting], error: Exception | None) -> None:
    for waiting in together:
        waiting.future.set_result(error)
