"""Table writer: writes the rows of a table exactly once, waits for ClickHouse, and isolates rows that it rejects.

The table itself is the output log. Its rows carry `_partition` and `_origin`, the source offset, so rows above the
highest source offset of their partition are missing and all others are written. One INSERT is one block, all or
nothing, of one partition or of several. After an error that leaves open whether an INSERT was written, the writer
waits until it cannot be running, reads the positions, and inserts what is missing, partition by partition. A worker
that takes a partition over does the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import TypeVar

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from processors.clickhouse.errors import CertificateError, RejectedRowsError, UnavailableError
from processors.engine.coalescer import Coalescer, finish_despite_cancel
from processors.engine.stage import Lease
from processors.rejected import RejectionCode
from processors.rejected_topic import RejectedTopic
from processors.sink.insert import Sink
from processors.sink.rows import BLOCK_BYTES, Block, Row, blocks
from schemas.clickhouse import Table
from schemas.log_throttle import Outage

FIRST_LOG = 1
LINGER_SECONDS = 0.005
"""How long the first INSERT after a pause waits for blocks of other partitions."""
INSERT_ROWS = 30_000
"""Maximum rows of an INSERT of several blocks; with more, ClickHouse needs hardly less time for each row."""
BACKOFF = wait_exponential(multiplier=0.1, max=5.0)
"""Seconds between attempts while ClickHouse is unavailable."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class TableWriter:
    """Writes rows into one table. Blocks of several partitions share INSERTs, since each has a fixed cost."""

    def __init__(self, table: Table, sink: Sink, rejected: RejectedTopic) -> None:
        self.table = table
        self.log = FIRST_LOG
        """The log that the source offsets of the rows belong to."""
        self._sink = sink
        self._rejected = rejected
        self._lease: Lease = _no_lease
        self._positions: dict[int, int] = {}
        self._coalescer = Coalescer(
            self._insert,
            fits=fits_one_insert,
            separable=lambda error: isinstance(error, RejectedRowsError),
            linger_seconds=LINGER_SECONDS,
            finish_on_cancel=True,
        )
        self._waits = 0
        self._outage = Outage()

    @property
    def waiting(self) -> bool:
        """Whether work is waiting for ClickHouse."""
        return self._waits > 0

    def start(self, lease: Lease) -> None:
        """Take the lease that INSERTs carry."""
        self._lease = lease

    def position(self, partition: int) -> int:
        """Return the highest source offset of *partition* that was loaded or written, -1 for none."""
        return self._positions[partition]

    async def load_positions(self, partitions: Iterable[int]) -> dict[int, int]:
        """Read the position of each of *partitions* from the table, once no INSERT of theirs is running."""
        return await self._retry_while_unavailable(partial(self._load_positions, list(partitions)))

    async def write_rows(self, rows: Iterable[Row], partition: int) -> None:
        """Write the *rows* that are not in the table; return when each is written or rejected."""
        for block in blocks(self.table, rows, partition, self.position(partition)):
            await self._write_or_reject(block)

    async def _write_or_reject(self, block: Block) -> None:
        """Write *block*; find the rows that ClickHouse rejects by halving and send them to `rejected.v1`."""
        try:
            await self._insert_with_retries(block)
        except RejectedRowsError as error:
            if len(block.rows) == 1:
                await self._reject(block.rows[0], str(error))
                self._positions[block.partition] = block.last_offset
            else:
                for half in block.halves():
                    await self._write_or_reject(half)

    async def _insert_with_retries(self, block: Block) -> None:
        try:
            await self._coalescer.submit(block)
        except UnavailableError as error:
            self._log_unavailable(error)
            await self._retry_while_unavailable(partial(self._insert_missing, block))

    async def _insert_missing(self, block: Block) -> None:
        """Insert the rows of *block* that the table lacks, after an error that left open which were written."""
        await self._load_positions([block.partition])
        for missing in blocks(self.table, block.rows, block.partition, self.position(block.partition)):
            await finish_despite_cancel(self._insert([missing]))

    async def _insert(self, together: Sequence[Block]) -> None:
        await asyncio.to_thread(self._sink.insert, together, self._lease)
        for block in together:
            self._positions[block.partition] = block.last_offset
        self._log_available()

    async def _load_positions(self, partitions: Sequence[int]) -> dict[int, int]:
        positions = await finish_despite_cancel(asyncio.to_thread(self._read_positions, partitions))
        self._positions.update(positions)
        return positions

    def _read_positions(self, partitions: Sequence[int]) -> dict[int, int]:
        self._sink.wait_for_running_inserts(self.table, self.log, partitions)
        return dict.fromkeys(partitions, -1) | self._sink.positions(self.table, self.log, partitions)

    async def _retry_while_unavailable(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of *work*, retried with backoff until ClickHouse is available."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError), wait=BACKOFF, before_sleep=self._log_attempt
        )
        self._waits += 1
        try:
            result: T = await retrying(work)
        finally:
            self._waits -= 1
        self._log_available()
        return result

    def _log_attempt(self, attempt: RetryCallState) -> None:
        if attempt.outcome is not None:
            self._log_unavailable(attempt.outcome.exception())

    def _log_unavailable(self, error: BaseException | None) -> None:
        """Log the first failed attempt of an outage, and the first of each kind of error, then fewer and fewer."""
        if error is None or (attempts := self._outage.failed(monotonic(), type(error))) is None:
            return
        values = (self.table.name, attempts.failed, attempts.seconds, reason(error))
        if isinstance(error, CertificateError):
            log.error(
                "%s: waiting for ClickHouse, retrying until its certificate is valid: %d attempts failed in %.0f s. %s",
                *values,
            )
        else:
            log.warning(
                "%s: waiting for ClickHouse, retrying until it answers: %d attempts failed in %.0f s. "
                "The last error: %s",
                *values,
            )

    def _log_available(self) -> None:
        if (attempts := self._outage.succeeded(monotonic())) is not None:
            log.info(
                "%s: ClickHouse is available again: %d attempts failed in %.0f s",
                *(self.table.name, attempts.failed, attempts.seconds),
            )

    async def _reject(self, row: Row, message: str) -> None:
        names = [name for name, _ in self.table.columns]
        content = msgspec.json.encode(dict(zip(names, msgspec.structs.astuple(row), strict=True)))
        reason = self._rejected.rejection(RejectionCode.ROW_REJECTED, message, key=f"{row.project_id}/".encode())
        await self._rejected.write([(reason, content)])


def reason(error: BaseException) -> str:
    """Return why *error* was raised: the system's reason of a connection that failed, otherwise its own text."""
    cause: BaseException | None = None if isinstance(error, CertificateError) else error
    while cause is not None and not (isinstance(cause, OSError) and str(cause)):
        cause = cause.__cause__ or cause.__context__
    return str(error) if cause is None else str(cause)


def _no_lease() -> float:
    """Return the lease before `start`: one that has ended."""
    return 0.0


def fits_one_insert(chosen: Sequence[Block], block: Block) -> bool:
    """Return whether *block* fits into one INSERT with the blocks *chosen* before it."""
    return (
        block.month == chosen[0].month
        and len(block.rows) + sum(len(each.rows) for each in chosen) <= INSERT_ROWS
        and block.size_bytes + sum(each.size_bytes for each in chosen) <= BLOCK_BYTES
    )
