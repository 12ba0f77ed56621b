"""A sink that keeps rows in memory."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from processors.clickhouse.errors import LeaseLostError, RefusedRowsError, UnavailableError
from processors.engine.stage import Lease
from processors.sink.rows import Block, PersonRow, Row
from processors.sink.writer import LEASE_MARGIN_SECONDS
from schemas.clickhouse import Table


class MemorySink:
    """Holds what is inserted; `reachable` and `answers_lost` are for the test to set."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self.reachable = True
        self.answers_lost = 0
        """How many INSERTs are done without the writer being told."""
        self.inserts = 0
        """How many INSERTs have come."""
        self._done: set[tuple[Any, ...]] = set()

    def positions(self, table: Table, partitions: Iterable[int]) -> dict[int, int]:
        """Return the highest origin of each partition that has rows."""
        self._check_reachable()
        wanted = set(partitions)
        found: dict[int, int] = {}
        for row in self.rows[table.name]:
            if row.partition in wanted:
                found[row.partition] = max(row.origin, found.get(row.partition, -1))
        return found

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Keep the rows of *blocks*, all or none; blocks that are there already are not kept again."""
        self._check_reachable()
        self.inserts += 1
        table = blocks[0].table
        rows = [row for block in blocks for row in block.rows]
        for row in rows:
            _check_times(row)
        name = (table.name, *((block.partition, block.first, block.last) for block in blocks))
        if name not in self._done:
            if time.monotonic() >= lease() - LEASE_MARGIN_SECONDS:
                raise LeaseLostError("the lease had ended")
            self._done.add(name)
            self.rows[table.name].extend(rows)
        if self.answers_lost:
            self.answers_lost -= 1
            raise UnavailableError("the answer was lost")

    def settle(self, table: Table, partitions: Iterable[int]) -> None:
        """Return: nothing runs on here."""
        del table, partitions
        self._check_reachable()

    def _check_reachable(self) -> None:
        if not self.reachable:
            raise UnavailableError("switched off")


class HeldSink(MemorySink):
    """A sink whose INSERTs wait for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Say that it has begun, and go on when it may."""
        self.begun.set()
        assert self.may_end.wait(10)
        super().insert(blocks, lease)


def _check_times(row: Row) -> None:
    times = (row.first_seen, row.last_seen) if isinstance(row, PersonRow) else (row.timestamp, row.received_at)
    for text in times:
        try:
            datetime.fromisoformat(text)
        except ValueError as error:
            raise RefusedRowsError(str(error)) from error
