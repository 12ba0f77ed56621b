"""The topic `projects.v1` in memory, with compaction, and a view of it that permits one read or write at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from schemas.project_table import ProjectTable
from schemas.records import KeyValue


class MemoryProjectsTopic:
    """Every record written, and the tables of the readers of such a topic."""

    def __init__(self, new_table: type[ProjectTable] = ProjectTable) -> None:
        self.records: list[KeyValue] = []
        self._new_table = new_table

    async def read(self) -> ProjectTable:
        """Return every project and token as of now."""
        return self._table(self.records)

    async def append(self, records: Sequence[KeyValue]) -> None:
        """Write *records* together."""
        self.records += records

    def tables(self) -> list[ProjectTable]:
        """Return the table of a gateway that followed the topic, and of those that start after a compaction.

        Compaction removes records that a later one of the same key replaces. It may have reached any record.
        """
        return [
            self._table(_compacted(self.records[:reached]) + self.records[reached:])
            for reached in range(len(self.records) + 1)
        ]

    def _table(self, records: Sequence[KeyValue]) -> ProjectTable:
        table = self._new_table()
        for key, value in records:
            table.apply(key, value)
        return table


def _compacted(records: Sequence[KeyValue]) -> list[KeyValue]:
    last = {key: place for place, (key, _) in enumerate(records)}
    return [record for place, record in enumerate(records) if last[record[0]] == place]


class SteppedTopic:
    """One command's view of *topic*: each of its reads and writes waits for a call of `step`."""

    def __init__(self, topic: MemoryProjectsTopic) -> None:
        self._topic = topic
        self._waiting: asyncio.Future[None] | None = None

    async def read(self) -> ProjectTable:
        """Read when permitted."""
        await self._permission()
        return await self._topic.read()

    async def append(self, records: Sequence[KeyValue]) -> None:
        """Write when permitted."""
        await self._permission()
        await self._topic.append(records)

    async def step(self, running: asyncio.Future[object]) -> None:
        """Permit the next read or write of the command *running*, and return when it is done; do nothing at its end."""
        await self._settle(running)
        if self._waiting is not None:
            self._waiting.set_result(None)
            self._waiting = None
            await self._settle(running)

    async def _settle(self, running: asyncio.Future[object]) -> None:
        """Return when the command waits for a permission or has ended."""
        while self._waiting is None and not running.done():  # noqa: ASYNC110  # a few steps of the loop
            await asyncio.sleep(0)

    async def _permission(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting


async def result_or_error(command: Awaitable[object]) -> object:
    """Return the result of *command*, or the exception that it raised."""
    (result,) = await asyncio.gather(command, return_exceptions=True)
    return result
