"""The sink's stages: `events.v1` and `persons.v1` to ClickHouse.

While ClickHouse is unavailable, batches wait without a time limit; the topics buffer what arrives. A row that
ClickHouse cannot store goes to `rejected.v1`, and the rest of its block is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from processors.clickhouse.client import ClickHouse
from processors.engine.stage import AssignedOffsets, InputOffsets, Lease, RecordBatch, Stage
from processors.rejected_topic import RejectedTopic
from processors.settings import WorkerSettings
from processors.sink.insert import ClickHouseSink, Sink
from processors.sink.rows import item_rows, person_rows
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS
from schemas.topics import Topics

CONCURRENT_BATCHES = 4
"""Batches in memory as rows and blocks: enough to prepare some while ClickHouse writes others."""


class EventsStage:
    """Writes `events` and `identifies`."""

    compacted = False
    max_records = 10_000
    linger_seconds = 0.25

    def __init__(self, topics: Topics, sink: Sink, rejected: RejectedTopic) -> None:
        self.topic = topics.events
        self._items = topics.items
        self._rejected = rejected
        self._events = TableWriter(EVENTS, sink, rejected)
        self._identifies = TableWriter(IDENTIFIES, sink, rejected)
        self._slots = asyncio.Semaphore(CONCURRENT_BATCHES)

    @property
    def waiting(self) -> bool:
        """Whether a table waits for ClickHouse."""
        return self._events.waiting or self._identifies.waiting

    async def start(self, lease: Lease) -> None:
        """Take the lease that INSERTs carry."""
        self._events.start(lease)
        self._identifies.start(lease)

    async def assigned(self, partitions: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return the highest source offsets in the tables as remembered offsets of `items.v1`.

        No processed offsets: source offsets do not determine offsets of `events.v1`.
        """
        events = await self._events.load_positions(partitions)
        identifies = await self._identifies.load_positions(partitions)
        return AssignedOffsets(
            remembered_offsets={
                (self._items, partition): max(events[partition], identifies[partition]) for partition in partitions
            }
        )

    def commit_metadata(self, partition: int) -> str:
        """Return nothing yet."""
        del partition
        return ""

    async def process(self, batch: RecordBatch) -> None:
        """Write the rows of *batch*."""
        async with self._slots:
            rows = await asyncio.to_thread(item_rows, batch.records, self._events.log, batch.partition)
            await self._rejected.write_records(rows.rejected)
            await self._events.write_rows(rows.events, batch.partition)
            await self._identifies.write_rows(rows.identifies, batch.partition)

    async def stop(self) -> None:
        """Log the last rejections; connections belong to the sink."""
        self._rejected.stop()


class PersonsTableStage:
    """Writes `person_states`."""

    compacted = True
    max_records = 10_000
    # Few rows: a longer linger gives fewer INSERTs, each of which has a fixed cost.
    linger_seconds = 0.4

    def __init__(self, topics: Topics, sink: Sink, rejected: RejectedTopic) -> None:
        self.topic = topics.persons
        self._rejected = rejected
        self._persons = TableWriter(PERSONS, sink, rejected)
        self._slots = asyncio.Semaphore(CONCURRENT_BATCHES)

    @property
    def waiting(self) -> bool:
        """Whether the table waits for ClickHouse."""
        return self._persons.waiting

    async def start(self, lease: Lease) -> None:
        """Take the lease that INSERTs carry."""
        self._persons.start(lease)

    async def assigned(self, partitions: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return the positions of the table: its source offsets are offsets of the topic itself."""
        known = await self._persons.load_positions(partitions)
        return AssignedOffsets(
            {partition: offset for partition, offset in known.items() if offset >= 0},
            remembered_offsets={(self.topic, partition): offset for partition, offset in known.items()},
        )

    def commit_metadata(self, partition: int) -> str:
        """Return nothing yet."""
        del partition
        return ""

    async def process(self, batch: RecordBatch) -> None:
        """Write the rows of *batch*."""
        async with self._slots:
            rows, rejected = person_rows(batch.records, self._persons.log, batch.partition)
            await self._rejected.write_records(rejected)
            await self._persons.write_rows(rows, batch.partition)

    async def stop(self) -> None:
        """Log the last rejections; connections belong to the sink."""
        self._rejected.stop()


def stages(settings: WorkerSettings, rejected: RejectedTopic) -> list[Stage]:
    """Return the stages of the sink worker."""
    topics = Topics(settings.kafka.topic_prefix)
    sink = ClickHouseSink(ClickHouse(settings.clickhouse))
    return [EventsStage(topics, sink, rejected), PersonsTableStage(topics, sink, rejected)]
