"""Blocks whose INSERT failed: each is tried alone, so that the blocks of other partitions do not wait behind it.

After any error the table is asked which rows it has before anything is sent again. What is missing is sent again after
a pause, and halved if it fails repeatedly while ClickHouse works, down to the row at fault, which is rejected.
`processors.sink.attempts` decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from processors.clickhouse.codes import FaultKind
from processors.clickhouse.errors import ClickHouseError, RejectedRowsError, TooLateError
from processors.rejected import RejectionCode
from processors.sink import attempts
from processors.sink.attempts import Evidence, Step
from processors.sink.outage_log import OutageLog
from processors.sink.rows import Block, Row

_RETRY_AFTER = 16
"""INSERTs that pass before a size is tried again that was too large."""


class Target(Protocol):
    """A table, as the isolation of blocks needs it; `TableWriter` has this shape. Methods raise `ClickHouseError`."""

    inserts: int
    """Number of INSERTs that were written."""

    async def progress(self) -> int:
        """Return a number that grows with the rows of the table, whichever worker writes them."""

    async def missing(self, block: Block) -> Sequence[Block]:
        """Return *block* itself, or the blocks of its rows that the table lacks, once no INSERT of them is running."""

    async def insert_alone(self, block: Block) -> None:
        """Write *block* in an INSERT of its own."""

    async def try_table(self) -> None:
        """Insert no rows, or raise."""

    async def try_rows(self, block: Block) -> None:
        """Parse the rows of *block*; `RejectedRowsError` if they cannot be parsed."""

    async def reject(self, row: Row, code: RejectionCode, message: str) -> None:
        """Write *row* to `rejected.v1`, and count it as done."""

    def count_retry(self, kind: FaultKind) -> None:
        """Count a failed INSERT that is repeated."""

    def count_halved(self) -> None:
        """Count a block that is halved."""


@dataclass(slots=True)
class _Piece:
    block: Block
    error: ClickHouseError | None = None
    """The error of its last INSERT; None if it may be sent."""
    attempts: int = 0
    """Failed INSERTs."""
    failures: int = 0
    """Those in succession after which the table took a statement without rows."""


@dataclass(slots=True)
class _InsertSize:
    """How many rows an INSERT of a partition may have after one was too large.

    A connection that ended looks like an INSERT that was too large, so the size doubles with each INSERT that passes.
    A doubled size that fails is tried again after `_RETRY_AFTER` INSERTs, then after twice as many.
    """

    rows: int | None = None
    """None is no limit."""
    _passes_needed: int = 1
    _passed: int = 0
    _has_grown: bool = False
    """Since the last failure."""

    def failed(self, rows: int) -> None:
        """Halve the size: an INSERT of *rows* was too large."""
        if self._has_grown:
            self._passes_needed = max(_RETRY_AFTER, 2 * self._passes_needed)
        self.rows, self._passed, self._has_grown = max(1, rows // 2), 0, False

    def passed(self, rows: int) -> None:
        """Double the size if enough INSERTs of about this size were written."""
        if self.rows is None or 2 * rows <= self.rows:
            return
        if self._has_grown:
            self._passes_needed = 1
        self._passed += 1
        if self._passed >= self._passes_needed:
            self.rows, self._passed, self._has_grown = 2 * self.rows, 0, True


class Isolation:
    """Writes single blocks of a table, one at a time of each partition."""

    def __init__(self, target: Target, outage: OutageLog) -> None:
        self._target = target
        self._outage = outage
        self._sizes: dict[int, _InsertSize] = {}
        """Of partitions whose blocks had to be halved for their size."""

    def is_alone(self, partition: int) -> bool:
        """Return whether the next block of *partition* should not share an INSERT: a recent one was too large."""
        return partition in self._sizes

    async def write(self, block: Block, error: ClickHouseError | None, on_refused: Callable[[], None]) -> None:
        """Write *block*, whose INSERT failed with *error*; return when each row is written or rejected.

        Calls *on_refused* when ClickHouse works and does not take the block, so that it may take long.
        """
        size = self._sizes.pop(block.partition, None) or _InsertSize()
        run = _Run(self._target, self._outage, on_refused, size)
        try:
            await run.write(_Piece(block, error, int(error is not None)))
        finally:
            run.end()
        if size.rows is not None and size.rows < len(block.rows):
            self._sizes[block.partition] = size


class _Run:
    """The isolation of one block."""

    def __init__(self, target: Target, outage: OutageLog, on_refused: Callable[[], None], size: _InsertSize) -> None:
        self._target = target
        self._outage = outage
        self._on_refused = on_refused
        self._size = size
        self._inserts_before = target.inserts
        self._progress_before: int | None = None
        """Of the table when it refused rows for the first time."""
        self._refused = False

    def end(self) -> None:
        if self._refused:
            self._outage.block_done()

    async def write(self, whole: _Piece) -> None:
        """Write *whole*, in parts if necessary."""
        pieces = [whole]
        """The last one is next."""
        while pieces:
            piece = pieces[-1]
            if piece.error is None and self._size.rows is not None and len(piece.block.rows) > self._size.rows:
                pieces[-1:] = _halves(piece)
                continue
            if piece.error is not None:
                if _is_outage(piece):
                    self._outage.failed(piece.error)
                missing = await self._target.missing(piece.block)
                if len(missing) != 1 or missing[0] is not piece.block:
                    pieces[-1:] = [_Piece(each) for each in reversed(missing)]
                    continue
                self._target.count_retry(piece.error.fault.kind)
                step, error = await self._next_step(piece, piece.error), piece.error
                if step is Step.HALVE:
                    if error.fault.kind is FaultKind.SIZE:
                        self._size.failed(len(piece.block.rows))
                    self._target.count_halved()
                    pieces[-1:] = _halves(piece)
                    continue
                if step is not Step.WAIT:
                    await self._reject(piece.block, step, error)
                    pieces.pop()
                    continue
                await asyncio.sleep(attempts.pause_seconds(piece.attempts, len(piece.block.rows)))
            if await self._insert(piece):
                pieces.pop()

    async def _insert(self, piece: _Piece) -> bool:
        try:
            await self._target.insert_alone(piece.block)
        except ClickHouseError as error:
            piece.error = error
            piece.attempts += 1
            return False
        self._size.passed(len(piece.block.rows))
        return True

    async def _next_step(self, piece: _Piece, error: ClickHouseError) -> Step:
        """Return what to do with *piece*, whose INSERT failed with *error* and which the table does not have."""
        kind = error.fault.kind
        if isinstance(error, TooLateError) and len(piece.block.rows) == 1:
            # Nothing was tried: ClickHouse, or the way to it, is slow. A larger block may be what takes long.
            kind = FaultKind.UNAVAILABLE
        unparsable = kind is FaultKind.ROW and await self._is_unparsable(piece.block)
        if kind is not FaultKind.UNAVAILABLE and not unparsable:
            await self._note_refusal(piece, error)
        return attempts.next_step(
            Evidence(
                kind=kind,
                rows=len(piece.block.rows),
                size_bytes=piece.block.size_bytes or len(piece.block.encode()),
                failures=piece.failures,
                unparsable=unparsable,
                others_written=await self._others_were_written(piece),
            )
        )

    async def _others_were_written(self, piece: _Piece) -> bool:
        """Return whether this worker or another one has written rows since the block failed.

        The table is asked when the answer matters: all partitions of this worker may wait for a row at fault.
        """
        if self._target.inserts > self._inserts_before:
            return True
        if self._progress_before is None or len(piece.block.rows) > 1 or piece.failures < attempts.REJECT_AFTER:
            return False
        return await self._target.progress() > self._progress_before

    async def _note_refusal(self, piece: _Piece, error: ClickHouseError) -> None:
        """Count a failure if the table takes a statement without rows: then it is the rows that it does not take."""
        try:
            await self._target.try_table()
        except ClickHouseError as fault:
            piece.failures = 0
            self._outage.failed(fault)
            return
        is_outage = _is_outage(piece)
        piece.failures += 1
        if self._progress_before is None:
            self._progress_before = await self._target.progress()
        if is_outage:
            return
        self._outage.block_refused(error, first=not self._refused)
        self._refused = True
        self._on_refused()

    async def _is_unparsable(self, block: Block) -> bool:
        """Return whether the rows cannot be parsed. If they can, the table has a column that cannot take them."""
        try:
            await self._target.try_rows(block)
        except RejectedRowsError:
            return True
        except ClickHouseError as error:
            self._outage.failed(error)
        return False

    async def _reject(self, block: Block, step: Step, error: ClickHouseError) -> None:
        self._size.rows = None  # The row was at fault, not the size.
        code = RejectionCode.ROW_REJECTED if step is Step.REJECT_VALUE else RejectionCode.ENGINE_CANNOT_STORE
        await self._target.reject(block.rows[0], code, str(error))


def _is_outage(piece: _Piece) -> bool:
    """Return whether the failure of *piece* is one of the server: it is busy, or a connection was lost once."""
    if piece.error is None:
        return False
    kind = piece.error.fault.kind
    return kind is FaultKind.UNAVAILABLE or (kind is FaultKind.SIZE and not piece.failures)


def _halves(piece: _Piece) -> list[_Piece]:
    """Return the halves of *piece*, the first one last."""
    return [_Piece(half) for half in reversed(piece.block.halves())]
