"""Table writer: writes the rows of a table exactly once, whatever ClickHouse answers.

The table itself is the output log. Its rows carry `_partition` and `_origin`, the source offset, so rows above the
position of their partition are missing and all others are written. One INSERT is one block, all or nothing, of one
partition or of several. After an error, whatever it says, the writer waits until the INSERT cannot be running, reads
the position, and sends only what is missing, each block in an INSERT of its own: see `processors.sink.isolation`. A
worker that takes a partition over begins with the same two steps.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import TypeVar

import msgspec
from msgspec import structs

from processors.clickhouse.codes import FaultKind
from processors.clickhouse.errors import ClickHouseError, LeaseEndedError
from processors.engine.coalescer import Coalescer, finish_despite_cancel
from processors.engine.errors import TableRolledBackError
from processors.rejected import RejectionCode, Source
from processors.rejected_topic import RejectedTopic
from processors.sink.attempts import pause_seconds
from processors.sink.erased import ErasedRows, LeftOut
from processors.sink.insert import Sink
from processors.sink.insert_metrics import InsertMetrics
from processors.sink.isolation import Isolation
from processors.sink.lease import Lease
from processors.sink.outage_log import OutageLog
from processors.sink.positions import PositionReason
from processors.sink.rows import BLOCK_BYTES, Block, Row, blocks, growing
from processors.sink.views import WrittenRows
from schemas.clickhouse import PERSONS, Table

FIRST_LOG = 1
LINGER_SECONDS = 0.005
"""How long the first INSERT after a pause waits for blocks of other partitions."""
INSERT_ROWS = 30_000
"""Maximum rows of an INSERT of several blocks; with more, ClickHouse needs hardly less time for each row."""
LAG_SECONDS = 10.0
"""How long a table may show less than was written before it counts as rolled back: a replica can lag."""

_COLUMN = re.compile(r"while reading the value of key (\w+)")
"""In ClickHouse's error: the column whose value it cannot read."""

T = TypeVar("T")


def _ignore() -> None:
    """Do nothing."""


class TableWriter:
    """Writes rows into one table. Blocks of several partitions share INSERTs, since each has a fixed cost."""

    def __init__(self, table: Table, sink: Sink, rejected: RejectedTopic) -> None:
        self.table = table
        self.log = FIRST_LOG
        """The log that the source offsets of the rows belong to."""
        self.inserts = 0
        """Number of INSERTs that were written."""
        self.unchecked = WrittenRows()
        """Rows over which views are to be checked."""
        self._sink = sink
        self._rejected = rejected
        self._lease: Lease | None = None
        self._positions: dict[int, int] = {}
        self._shown: dict[int, int] = {}
        """By partition, the position that the table must show at least: rows up to there were written or noted."""
        self._interruptions: dict[int, int] = {}
        """By partition, how often ClickHouse had stopped answering when its position was read last."""
        self._coalescer = Coalescer(
            self._insert, fits=fits_one_insert, linger_seconds=LINGER_SECONDS, finish_on_cancel=True
        )
        self._waits = 0
        self._outage = OutageLog(table.name)
        self._isolation = Isolation(self, self._outage)
        self._metrics = InsertMetrics(table, rejected.metrics)
        self._erased: ErasedRows | None = None

    @property
    def waiting(self) -> bool:
        """Whether work is waiting for ClickHouse."""
        return self._waits > 0

    def start(self, lease: Lease) -> None:
        """Take the lease that INSERTs carry."""
        self._lease = lease

    def leave_out(self, erased: ErasedRows) -> None:
        """Leave out the rows that *erased* says."""
        self._erased = erased

    def position(self, partition: int) -> int:
        """Return the highest source offset of *partition* that was loaded, written or rejected, -1 for none."""
        return self._positions[partition]

    def shown(self, partition: int) -> int | None:
        """Return the position of *partition* that the table has shown, None if it was not loaded; for any thread."""
        return self._shown.get(partition)

    async def until_it_works(self, work: Callable[[], T]) -> T:
        """Return the result of *work*, which blocks, repeated in a thread until it raises no `ClickHouseError`."""
        return await self._until_it_works(partial(self._in_thread, work))

    async def load_positions(self, partitions: Iterable[int]) -> dict[int, int]:
        """Read the position of each of *partitions* from the table, once no INSERT of theirs is running."""
        interruptions = 0 if self._lease is None else self._lease.interruptions
        positions = await self._until_it_works(partial(self._in_thread, self._read_positions, list(partitions)))
        self._sink.renew_tokens(self.table, self.log, positions)
        self._positions.update(positions)
        self._shown.update(positions)
        self._interruptions.update(dict.fromkeys(positions, interruptions))
        self._outage.answered()
        return positions

    async def write_rows(self, rows: Iterable[Row], partition: int, on_refused: Callable[[], None] = _ignore) -> None:
        """Write the *rows* that are not in the table; return when each is written, rejected or left out.

        Calls *on_refused* if ClickHouse works and does not take some of them, so that this may take long.
        """
        await self._ask_after_interruption(partition)
        rows, left_out = await self._divide(rows, partition)
        for block in blocks(self.table, rows, partition, self.position(partition)):
            error: ClickHouseError | None = None
            if not self._isolation.is_alone(partition):
                error = await self._insert_together(block)
                if error is None:
                    continue
            self._waits += 1
            try:
                await self._isolation.write(block, error, on_refused)
                await self._note_position(partition, PositionReason.REJECTED)
            finally:
                self._waits -= 1
        if left_out:
            self._positions[partition] = max(left_out[-1].row.source_offset, self._positions[partition])
            await self._note_position(partition, PositionReason.ERASED)

    async def progress(self) -> int:
        """Return a number that grows with the rows of the table, whichever worker writes them."""
        return await self.until_it_works(partial(self._sink.progress, self.table, self.log))

    async def missing(self, block: Block) -> Sequence[Block]:
        """Return *block* itself, or the blocks of its rows that the table lacks, once no INSERT of them is running.

        Raises `TableRolledBackError` if the table shows less than was written.
        """
        position = await self._position_in_table(block.partition)
        if position < block.first_offset:
            return [block]
        self._positions[block.partition] = max(position, self._positions[block.partition])
        self._shown[block.partition] = max(position, self._shown[block.partition])
        self._outage.answered()
        return list(blocks(self.table, block.rows, block.partition, self._positions[block.partition]))

    async def insert_alone(self, block: Block) -> None:
        """Write *block* in an INSERT of its own."""
        await finish_despite_cancel(self._insert([block]))

    async def try_table(self) -> None:
        """Insert no rows, or raise."""
        await self._in_thread(self._sink.try_table, self.table)

    async def try_rows(self, block: Block) -> None:
        """Parse the rows of *block*; `RejectedRowsError` if they cannot be parsed."""
        await self._in_thread(self._sink.try_rows, block)

    async def reject(self, row: Row, code: RejectionCode, message: str) -> None:
        """Write *row* to `rejected.v1`, and count it as done."""
        names = [name for name, _ in self.table.columns]
        content = msgspec.json.encode(dict(zip(names, structs.astuple(row), strict=True)))
        rejection = self._rejected.rejection(
            code,
            message,
            key=f"{row.project_id}/".encode(),
            source=Source(self.table.source, row.partition, row.source_offset),
        )
        column = _COLUMN.search(message)
        field = column[1] if column is not None and column[1] in names else None
        await self._rejected.write([(structs.replace(rejection, table=self.table.name, field=field), content)])
        self.count_done(row)

    def count_done(self, row: Row) -> None:
        """Count *row* as done although the table does not have it."""
        self._positions[row.partition] = row.source_offset

    def count_retry(self, kind: FaultKind) -> None:
        """Count a failed INSERT that is repeated."""
        self._metrics.count_retry(kind)

    def count_halved(self) -> None:
        """Count a block that is halved."""
        self._metrics.count_halved()

    async def _ask_after_interruption(self, partition: int) -> None:
        """Ask the table for its position if ClickHouse was away: it may have been restored while nothing was sent.

        Raises `TableRolledBackError` if it shows less than was written.
        """
        interruptions = 0 if self._lease is None else self._lease.interruptions
        if self._interruptions.get(partition, 0) != interruptions:
            await self._position_in_table(partition)
            self._interruptions[partition] = interruptions

    async def _insert_together(self, block: Block) -> ClickHouseError | None:
        """Write *block* in an INSERT with others; return the error after which only the table knows what it has."""
        try:
            await self._coalescer.submit(block)
        except ClickHouseError as error:
            return error
        return None

    async def _insert(self, together: Sequence[Block]) -> None:
        if self._lease is None:
            raise LeaseEndedError("The worker is not started.")
        await asyncio.to_thread(self._metrics.insert, self._sink, together, self._lease)
        self.inserts += 1
        for block in together:
            self.unchecked.add(block)
            self._positions[block.partition] = self._shown[block.partition] = block.last_offset
        self._outage.answered()

    async def _divide(self, rows: Iterable[Row], partition: int) -> tuple[Iterable[Row], Sequence[LeftOut]]:
        """Return the rows to write, and those that an erasure covers, once these are listed as removed."""
        if self._erased is None:
            return rows, ()
        written, left_out = self._erased.divide(growing(rows, self.position(partition)))
        # A person has many states, and the audit does not count them.
        if left_out and self.table is not PERSONS:
            note = partial(self._sink.note_removed, self.table, left_out)
            await self._until_it_works(partial(self._in_thread, note))
        return written, left_out

    async def _note_position(self, number: int, reason: PositionReason) -> None:
        """Note the position of a partition if its rows do not show it: the last one was rejected or left out."""
        position = self._positions[number]
        if self._shown[number] < position:
            note = partial(self._sink.note_position, self.table, self.log, number, position, reason)
            await self._until_it_works(partial(self._in_thread, note))
            self._shown[number] = position

    async def _position_in_table(self, partition: int) -> int:
        """Return the position that the table shows; `TableRolledBackError` if it shows too little for too long."""
        since, reads = monotonic(), 0
        while True:
            positions = await self._until_it_works(partial(self._in_thread, self._read_positions, [partition]))
            position, known = positions[partition], self._shown[partition]
            if position >= known:
                return position
            if monotonic() - since >= LAG_SECONDS:
                raise TableRolledBackError(
                    f"{self.table.name} shows source offset {position} for partition {partition}, but {known} was "
                    f"written. The table was restored or emptied, or its newest rows were deleted. The next start "
                    f"writes again what events.v1 and persons.v1 still have."
                )
            reads += 1
            await asyncio.sleep(pause_seconds(reads))

    def _read_positions(self, partitions: Sequence[int]) -> dict[int, int]:
        self._sink.wait_for_running_inserts(self.table, self.log, partitions)
        return dict.fromkeys(partitions, -1) | self._sink.positions(self.table, self.log, partitions)

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await finish_despite_cancel(asyncio.to_thread(work, *arguments))

    async def _until_it_works(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of *work*, which is repeated with pauses until it raises no `ClickHouseError`."""
        failed = 0
        self._waits += 1
        try:
            while True:
                try:
                    return await work()
                except ClickHouseError as error:
                    self._outage.failed(error)
                failed += 1
                await asyncio.sleep(pause_seconds(failed))
        finally:
            self._waits -= 1


def fits_one_insert(chosen: Sequence[Block], block: Block) -> bool:
    """Return whether *block* fits into one INSERT with the blocks *chosen* before it."""
    return (
        block.week == chosen[0].week
        and len(block.rows) + sum(len(each.rows) for each in chosen) <= INSERT_ROWS
        and block.size_bytes + sum(each.size_bytes for each in chosen) <= BLOCK_BYTES
    )
