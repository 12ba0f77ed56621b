"""`events.v1` and `persons.v1` to ClickHouse.

While ClickHouse is away a slice waits, as long as it takes: the topics keep what comes. A row that the engine cannot
take is found by halving its block and goes to `rejected.v1`; the rest of the block is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import msgspec

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import RefusedRowsError, UnavailableError
from processors.engine.stage import Lease, Positions, RecordBatch, Stage
from processors.rejected import RejectedTopic, rejection
from processors.settings import WorkerSettings
from processors.sink.coalescer import InsertCoalescer
from processors.sink.rows import Block, RejectedRecord, Row, blocks, item_rows, person_rows
from processors.sink.writer import BlockWriter, ClickHouseSink, Sink
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS, Table
from schemas.topics import Topics

SLICES_AT_ONCE = 4
"""How many slices are rows and blocks at the same time: as many as keep ClickHouse at work while others are made."""
BACK_OFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

T = TypeVar("T")
log = logging.getLogger(__name__)


class TableStage:
    """What both stages share: writing blocks, waiting for ClickHouse, isolating rows."""

    max_records = 10_000
    linger_seconds = 0.25

    def __init__(self, tables: Sequence[Table], sink: Sink, rejected: RejectedTopic) -> None:
        self._tables = tables
        self._sink = sink
        self._rejected = rejected
        self._writer: BlockWriter | None = None
        self._inserts: dict[Table, InsertCoalescer] = {}
        self._waits = 0
        self._turns = asyncio.Semaphore(SLICES_AT_ONCE)

    @property
    def waiting(self) -> bool:
        """Whether ClickHouse is being waited for."""
        return self._waits > 0

    async def start(self, lease: Lease) -> None:
        """Take the lease that inserts carry."""
        self._writer = BlockWriter(self._sink, lease)
        self._inserts = {table: InsertCoalescer(self._writer.write) for table in self._tables}

    async def stop(self) -> None:
        """Hold nothing: connections are the sink's."""

    @property
    def writer(self) -> BlockWriter:
        """The writer, once started."""
        if self._writer is None:
            raise RuntimeError("the stage is not started")
        return self._writer

    async def learn(self, partitions: frozenset[int]) -> dict[int, int]:
        """Ask how far the tables are filled; return the highest origin of each partition over all of them."""
        known = [
            await self._persist(partial(_in_thread, partial(self.writer.learn, table, partitions)))
            for table in self._tables
        ]
        return {partition: max(positions[partition] for positions in known) for partition in partitions}

    async def write_rows(self, table: Table, rows: Iterable[Row], partition: int) -> None:
        """Write *rows* that are not in *table* yet; return when they are."""
        for block in blocks(table, rows, partition, self.writer.position(table, partition)):
            await self._write(block)

    async def reject_unreadable(self, unreadable: Sequence[RejectedRecord]) -> None:
        """Send records that make no row to `rejected.v1`."""
        await self._rejected.write(
            (
                rejection(stage="sink", code="not_an_item", message=fault.message, key=fault.record.key),
                fault.record.value or b"",
            )
            for fault in unreadable
        )

    async def _write(self, block: Block) -> None:
        try:
            await self._write_persistently(block)
        except RefusedRowsError as error:
            if len(block.rows) == 1:
                await self._reject_row(block, str(error))
                self.writer.skip(block)
            else:
                for half in block.halves():
                    await self._write(half)

    async def _write_persistently(self, block: Block) -> None:
        try:
            await self._inserts[block.table].write(block)
        except UnavailableError as error:
            log.warning("%s: waiting for ClickHouse: %s", block.table.name, error)
            await self._persist(partial(self._write_what_is_missing, block))
            log.info("%s: ClickHouse is back", block.table.name)

    async def _write_what_is_missing(self, block: Block) -> None:
        await _in_thread(partial(self.writer.recover, block))
        position = self.writer.position(block.table, block.partition)
        for missing in blocks(block.table, block.rows, block.partition, position):
            await _in_thread(partial(self.writer.write, [missing]))

    async def _persist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what *work* returns; try again for as long as ClickHouse is away."""
        with self._waiting():
            for pause in _pauses():
                try:
                    return await work()
                except UnavailableError as error:
                    log.debug("ClickHouse is away: %s", error)
                    await asyncio.sleep(pause)
        raise AssertionError("unreachable: the pauses do not end")

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._waits += 1
        try:
            yield
        finally:
            self._waits -= 1

    async def _reject_row(self, block: Block, message: str) -> None:
        row = block.rows[0]
        key = f"{row.project_id}/".encode()
        reason = rejection(stage="sink", code="row_refused", message=message, key=key)
        await self._rejected.write([(reason, _named(block.table, row))])


class EventsStage(TableStage):
    """Fills `events` and `identifies`."""

    compacted = False

    def __init__(self, topics: Topics, sink: Sink, rejected: RejectedTopic) -> None:
        super().__init__((EVENTS, IDENTIFIES), sink, rejected)
        self.topic = topics.events
        self._items = topics.items

    async def assigned(self, partitions: frozenset[int]) -> Positions:
        """Return nothing decided: origins do not tell offsets of `events.v1`. They are remembered of `items.v1`."""
        origins = await self.learn(partitions)
        return Positions(remembered_offsets={(self._items, partition): origin for partition, origin in origins.items()})

    async def process(self, batch: RecordBatch) -> None:
        """Write the rows of *records*."""
        async with self._turns:
            rows = await asyncio.to_thread(item_rows, batch.records, batch.partition)
            await self.reject_unreadable(rows.unreadable)
            await self.write_rows(EVENTS, rows.events, batch.partition)
            await self.write_rows(IDENTIFIES, rows.identifies, batch.partition)


class PersonsTableStage(TableStage):
    """Fills `person_states`."""

    compacted = True
    # Few rows, which wait a little longer for each other: every INSERT costs the same, however little it brings.
    linger_seconds = 0.4

    def __init__(self, topics: Topics, sink: Sink, rejected: RejectedTopic) -> None:
        super().__init__((PERSONS,), sink, rejected)
        self.topic = topics.persons

    async def assigned(self, partitions: frozenset[int]) -> Positions:
        """Return how far the table is filled: its origins are offsets of the topic itself."""
        origins = await self.learn(partitions)
        return Positions(
            {partition: origin for partition, origin in origins.items() if origin >= 0},
            {(self.topic, partition): origin for partition, origin in origins.items()},
        )

    async def process(self, batch: RecordBatch) -> None:
        """Write the rows of *records*."""
        async with self._turns:
            rows, unreadable = person_rows(batch.records, batch.partition)
            await self.reject_unreadable(unreadable)
            await self.write_rows(PERSONS, rows, batch.partition)


def stages(settings: WorkerSettings, rejected: RejectedTopic) -> list[Stage]:
    """Return the stages of the sink worker."""
    topics = Topics(settings.kafka.topic_prefix)
    sink = ClickHouseSink(ClickHouse(settings.clickhouse))
    return [EventsStage(topics, sink, rejected), PersonsTableStage(topics, sink, rejected)]


def _named(table: Table, row: Row) -> bytes:
    """Return *row* as a JSON object, which needs no table to be read."""
    names = [name for name, _ in table.columns]
    return msgspec.json.encode(dict(zip(names, msgspec.structs.astuple(row), strict=True)))


async def _in_thread(work: Callable[[], T]) -> T:
    """Return what *work* returns, in a thread. Cancelled, it waits first: an INSERT ends before its partition goes."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _pauses() -> Iterator[float]:
    yield from BACK_OFF_SECONDS
    while True:
        yield BACK_OFF_SECONDS[-1]
