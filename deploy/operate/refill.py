"""Writes the rows that an audit found missing, from their topic. The sink owns what is above a table's position.

Each INSERT leaves out the source offsets that the table has, so that an interrupted refill can be repeated. Rows that
an erasure covers are listed as removed instead, as the sink does.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from deploy.errors import OperateError
from deploy.operate import logs
from deploy.operate.audit import Audit, Compared
from deploy.operate.events_log import SourceLog, batches
from deploy.operate.servers import Servers
from deploy.operate.source_offsets import WINDOW, SourceOffsets
from gateway.projects.admin import KafkaProjectsTopic
from processors.clickhouse.codes import FaultKind, summary
from processors.clickhouse.errors import ClickHouseError
from processors.sink.erased import ErasedRows
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import BLOCK_BYTES, Block, Row, blocks, row_week
from schemas.clickhouse import Table
from schemas.project_table import ProjectTable
from schemas.settings import KafkaSettings

BLOCK_ROWS = 30_000
_TRIES = 8
_PAUSE_SECONDS = 2.0


@dataclass(slots=True)
class Refilled:
    """What a refill did."""

    written: int = 0
    refused: list[str] = field(default_factory=list)
    """Rows that ClickHouse does not take, with the reason."""


@dataclass(slots=True)
class _Projects:
    """The projects when the refill began. Erasures that follow are carried out on the rows that it has written."""

    table: ProjectTable
    cluster_id: str


def refill(servers: Servers, audit: Audit, progress: Callable[[Refilled], None]) -> Refilled:
    """Write every missing row of *audit*; calls *progress* after each INSERT."""
    done = Refilled()
    with servers.tables() as clickhouse:
        projects = _Projects(
            asyncio.run(KafkaProjectsTopic(servers.kafka).read()), servers.ask_kafka(logs.identity).cluster_id
        )
        writer = _Writer(ClickHouseSink(clickhouse), ErasedRows(projects), done, progress)
        for read in audit.sources:
            missing = [
                each
                for each in audit.compared
                if each.missing and each.table in read.source.tables and each.partition == read.read.partition
            ]
            if missing:
                servers.ask_kafka(lambda kafka: _refill_partition(kafka, audit.log, read, missing, writer))  # noqa: B023  # called at once
    return done


def size_of(row: Row) -> int:
    """Return the characters of the long texts of *row*."""
    return sum(len(value) for value in msgspec.structs.astuple(row) if isinstance(value, str | msgspec.Raw))


async def _refill_partition(
    kafka: KafkaSettings, log: int, source: SourceLog, missing: Sequence[Compared], writer: _Writer
) -> None:
    """Read the part of a partition that has the missing rows, and write them by table and week."""
    wanted = {each.table: SourceOffsets(each.missing) for each in missing}
    start, end = _part(source, wanted.values())
    partition = source.read.partition
    pending: dict[tuple[Table, str], list[Row]] = defaultdict(list)
    sizes: dict[tuple[Table, str], int] = defaultdict(int)
    async for records in batches(kafka, source.read, start, end):
        for table, of_table in source.source.rows(records, log, partition).items():
            for row in _chosen(of_table, wanted.get(table)):
                key = (table, row_week(row))
                pending[key].append(row)
                sizes[key] += size_of(row)
                if len(pending[key]) >= BLOCK_ROWS or sizes[key] >= BLOCK_BYTES:
                    writer.write(table, partition, pending.pop(key))
                    sizes.pop(key)
    for (table, _), left in pending.items():
        writer.write(table, partition, left)


def _part(source: SourceLog, wanted: Iterable[SourceOffsets]) -> tuple[int, int]:
    """Return the offsets of the topic between which every missing record is."""
    windows = {offset // WINDOW for offsets in wanted for offset in offsets}
    places = [source.places[window] for window in windows if window in source.places]
    return min(first for first, _ in places), max(last for _, last in places) + 1


def _chosen(rows: Sequence[Row], wanted: SourceOffsets | None) -> Iterator[Row]:
    """Yield the first row of each wanted source offset: a paused worker may have written the record again."""
    for row in rows if wanted is not None else ():
        if wanted is not None and row.source_offset in wanted:
            wanted.discard(row.source_offset)
            yield row


class _Writer:
    """Writes blocks, and finds the rows that ClickHouse does not take by halving."""

    def __init__(
        self, sink: ClickHouseSink, erased: ErasedRows, done: Refilled, progress: Callable[[Refilled], None]
    ) -> None:
        self._sink = sink
        self._erased = erased
        self._done = done
        self._progress = progress

    def write(self, table: Table, partition: int, rows: list[Row]) -> None:
        """Write *rows* of one week, but those that an erasure covers."""
        rows.sort(key=lambda row: row.source_offset)
        written, left_out = self._erased.divide(rows)
        if left_out:
            self._sink.note_removed(table, left_out)
        for block in blocks(table, written, partition, -1):
            self._write(block)
            self._progress(self._done)

    def _write(self, block: Block) -> None:
        error = self._try(block)
        if error is None:
            return
        if len(block.rows) > 1:
            for half in block.halves():
                self._write(half)
        else:
            place = f"{block.table.name}, partition {block.partition}, source offset {block.first_offset}"
            self._done.refused.append(f"{place}: {summary(str(error))}")

    def _try(self, block: Block) -> ClickHouseError | None:
        """Write *block*; return the error if it is the rows that ClickHouse does not take."""
        error: ClickHouseError | None = None
        for _ in range(_TRIES):
            self._wait_for_running_insert()
            try:
                self._done.written += self._sink.insert_missing(block)
            except ClickHouseError as failed:
                error = failed
                if failed.fault.kind in (FaultKind.ROW, FaultKind.SIZE):
                    return failed
                time.sleep(_PAUSE_SECONDS)
            else:
                return None
        raise OperateError(
            f"ClickHouse does not take rows of {block.table.name}: {summary(str(error))} {self._done.written} rows "
            "were written. Correct the cause, and run `sequence audit --refill` again."
        ) from error

    def _wait_for_running_insert(self) -> None:
        """Wait until an earlier INSERT has ended: it may write the same rows."""
        for _ in range(_TRIES):
            try:
                if not self._sink.is_refill_running():
                    return
            except ClickHouseError:
                pass  # The INSERT reports it.
            time.sleep(_PAUSE_SECONDS)
