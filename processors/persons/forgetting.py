"""Removes erased persons from the files of the local state.

RocksDB keeps a deleted entry in its files until it happens to compact them. So each partition whose table has the entry
`FORGET` is compacted in a thread, one at a time, standbys as well; a worker that was killed meanwhile begins again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from processors.engine.changelog_table import ChangelogTable
from processors.engine.errors import LocalStateUnavailableError
from processors.engine.rocksdb import PartitionStore
from processors.persons.replay import FORGET

PAUSE_SECONDS = 60.0
"""Pause between two looks, so that erasures that follow each other share a compaction."""

log = logging.getLogger(__name__)


class Forgetting:
    """Compacts partitions from which persons were erased."""

    def __init__(self, persons: ChangelogTable, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._persons = persons
        self._pause_seconds = pause_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; a second call changes nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="forgetting")

    async def stop(self) -> None:
        """End. A compaction that is running ends when its store is closed."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause_seconds)
            await self.forget()

    async def forget(self) -> None:
        """Compact each partition that is to forget."""
        for state in self._persons.store.open_partitions():
            if not state.is_open:
                continue
            (mark,) = state.get_many([FORGET])
            if mark is None:
                continue
            try:
                await asyncio.to_thread(state.forget_deleted)
            except LocalStateUnavailableError as error:
                if state.is_open:
                    log.warning("erased persons are not yet removed from the local state, retrying: %s", error)
                continue
            self._unmark(state, mark)

    @staticmethod
    def _unmark(state: PartitionStore, mark: bytes) -> None:
        """Remove *mark* unless another erasure has followed, or the partition is assigned elsewhere."""
        if state.is_open and state.get_many([FORGET]) == [mark]:
            offsets = {"changelog_offset": state.changelog_offset, "processed_offset": state.processed_offset}
            state.apply([(FORGET, None, 0)], **offsets)
