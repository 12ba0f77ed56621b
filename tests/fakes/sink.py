"""A sink that keeps rows in memory."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from processors.clickhouse.errors import ClickHouseError, LeaseEndedError, RejectedRowsError, UnavailableError
from processors.sink.erased import LeftOut
from processors.sink.lease import Lease
from processors.sink.positions import PositionReason, position_of
from processors.sink.rows import Block, DuplicateRow, PersonRow, RejectedRow, Row
from schemas.clickhouse import Table


class MemorySink:
    """Keeps inserted rows. Tests set `reachable` and `responses_lost`."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = defaultdict(list)
        self.noted: dict[tuple[str, int, int], int] = {}
        """The noted position by table, log and partition."""
        self.removed: dict[tuple[str, int, int, int], str] = {}
        """The erasure of each row that was listed as removed, by table, log, partition and source offset."""
        self._noted_after: dict[tuple[str, int, int], int] = {}
        self.reachable = True
        self.responses_lost = 0
        """Number of INSERTs that are written but raise `UnavailableError`."""
        self.inserts = 0
        """Number of INSERTs received."""
        self._done: set[tuple[Any, ...]] = set()
        self._renewed: dict[int, int] = defaultdict(int)

    def positions(self, table: Table, log: int, partitions: Iterable[int]) -> dict[int, int]:
        """Return the position of each partition of *log* that has one."""
        self._check_reachable()
        found = {number: self._shown(table, log, number) for number in set(partitions)}
        for number, shown in found.items():
            key = table.name, log, number
            found[number] = position_of(shown, [(self._noted_after.get(key, -1), self.noted.get(key, -1))])
        return {number: position for number, position in found.items() if position >= 0}

    def _shown(self, table: Table, log: int, partition: int) -> int:
        rows = self.rows[table.name]
        return max((row.source_offset for row in rows if (row.log, row.partition) == (log, partition)), default=-1)

    def progress(self, table: Table, log: int) -> int:
        """Return the sum of the highest source offset of each partition, and of the number of partitions."""
        self._check_reachable()
        partitions = {row.partition for row in self.rows[table.name] if row.log == log}
        return sum(self._shown(table, log, number) + 1 for number in partitions)

    def note_position(self, table: Table, log: int, partition: int, position: int, reason: PositionReason) -> None:
        """Keep *position* if it is higher than the one that is noted."""
        self._check_reachable()
        key = table.name, log, partition
        if position > self.noted.get(key, -1):
            self.noted[key] = position
            self._noted_after[key] = self._shown(table, log, partition) if reason is not PositionReason.KEPT else -1

    def note_removed(self, table: Table, rows: Sequence[LeftOut]) -> None:
        """Keep *rows* in `removed`."""
        self._check_reachable()
        for row, erasure in rows:
            self.removed[table.name, row.log, row.partition, row.source_offset] = erasure

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Keep the rows of *blocks*, all or none; equal blocks are kept once."""
        self._check_reachable()
        self.inserts += 1
        table = blocks[0].table
        rows = [row for block in blocks for row in block.rows]
        for row in rows:
            _check_times(row)
        name = (
            table.name,
            *(
                (block.log, block.partition, block.first_offset, block.last_offset, self._renewed[block.partition])
                for block in blocks
            ),
        )
        if name not in self._done:
            if time.time() >= lease.deadline():
                raise LeaseEndedError("the lease had ended")
            self._done.add(name)
            self.rows[table.name].extend(rows)
        if self.responses_lost:
            self.responses_lost -= 1
            raise UnavailableError("the response was lost")

    def try_table(self, table: Table) -> None:
        """Return if the sink is reachable."""
        del table
        self._check_reachable()

    def try_rows(self, block: Block) -> None:
        """Raise `RejectedRowsError` if a row has a text that is no time."""
        self._check_reachable()
        for row in block.rows:
            _check_times(row)

    def renew_tokens(self, table: Table, log: int, partitions: Iterable[int]) -> None:
        """Keep blocks that are equal to earlier ones from now on."""
        del table, log
        for partition in partitions:
            self._renewed[partition] += 1

    def wait_for_running_inserts(self, table: Table, log: int, partitions: Iterable[int]) -> None:
        """Return at once: no INSERT runs in the background."""
        del table, log, partitions
        self._check_reachable()

    def _check_reachable(self) -> None:
        if not self.reachable:
            raise UnavailableError("not reachable")


class FaultySink(MemorySink):
    """A sink whose INSERTs fail as `fault` says: with the error that it returns for their blocks, None for none."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Callable[[Sequence[Block]], ClickHouseError | None] = lambda blocks: None  # noqa: ARG005
        self.writes_despite_errors = False
        """Whether the rows are kept, as with an error after they were stored."""
        self.table_fault: ClickHouseError | None = None
        """The error of an INSERT without rows."""
        self.calls: list[tuple[str, int]] = []
        """Each INSERT with its number of rows, and each question for positions with its number of partitions."""
        self.insert_partitions: set[int] = set()
        """Partitions of every INSERT."""

    def positions(self, table: Table, log: int, partitions: Iterable[int]) -> dict[int, int]:
        """Note the call, and return the positions."""
        self.calls.append(("positions", len(list(partitions))))
        return super().positions(table, log, partitions)

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Insert *blocks*, or raise what `fault` returns."""
        self.calls.append(("insert", sum(len(block.rows) for block in blocks)))
        self.insert_partitions.update(block.partition for block in blocks)
        if (error := self.fault(blocks)) is None:
            super().insert(blocks, lease)
            return
        if self.writes_despite_errors:
            super().insert(blocks, lease)
        raise error

    def try_table(self, table: Table) -> None:
        """Raise `table_fault`, if there is one."""
        super().try_table(table)
        if self.table_fault is not None:
            raise self.table_fault


class HeldSink(MemorySink):
    """A sink whose INSERTs wait until `may_end` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def insert(self, blocks: Sequence[Block], lease: Lease) -> None:
        """Set `begun`, wait for `may_end`, and insert."""
        self.begun.set()
        assert self.may_end.wait(10)
        super().insert(blocks, lease)


def _check_times(row: Row) -> None:
    if isinstance(row, PersonRow):
        times = [row.first_seen, row.last_seen]
    else:
        times = [row.received_at] if isinstance(row, DuplicateRow | RejectedRow) else [row.timestamp, row.received_at]
    for text in times:
        try:
            datetime.fromisoformat(text)
        except ValueError as error:
            raise RejectedRowsError(str(error)) from error
