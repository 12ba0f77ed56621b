"""The sink's stages: `events.v1` and `persons.v1` to ClickHouse; `duplicates.v1` is in a module of its own.

While ClickHouse is unavailable, batches wait without a time limit; the topics buffer what arrives. A row that
ClickHouse cannot store goes to `rejected.v1`, and the rest of its block is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from processors.clickhouse.client import ClickHouse
from processors.engine.stage import AssignedOffsets, InputOffsets, Membership, RecordBatch, Stage
from processors.rejected_topic import RejectedTopic
from processors.settings import WorkerSettings
from processors.sink.assignment import Assignment, SinkLog
from processors.sink.duplicates import DuplicatesStage
from processors.sink.insert import ClickHouseSink, Sink
from processors.sink.lease import ServerLease, SinkLease
from processors.sink.log_reader import OwnOffsetFinder, SourceOffsetFinder, kafka_log_reader
from processors.sink.logs import ClickHouseLogs, LogIdentity
from processors.sink.rows import item_rows, person_rows
from processors.sink.slots import Slots
from processors.sink.views import ViewCheck
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS
from schemas.topics import Topics

CONCURRENT_BATCHES = 4
"""Batches in memory as rows and blocks: enough to prepare some while ClickHouse writes others.

A batch that ClickHouse does not take, although it works, counts no more: the others must not wait for it.
"""


class EventsStage:
    """Writes `events` and `identifies`."""

    compacted = False
    max_records = 10_000
    linger_seconds = 0.25

    def __init__(
        self, topics: Topics, sink: Sink, rejected: RejectedTopic, sink_log: SinkLog, lease: SinkLease
    ) -> None:
        self.topic = topics.events
        self._rejected = rejected
        self._events = TableWriter(EVENTS, sink, rejected)
        self._identifies = TableWriter(IDENTIFIES, sink, rejected)
        self._lease = lease
        self._events.start(lease)
        self._identifies.start(lease)
        self._views: ViewCheck | None = None
        finder = SourceOffsetFinder(topics.events, topics.items, sink_log.reader)
        self._assignment = Assignment(topics.events, [self._events, self._identifies], sink_log, finder)
        self._slots = Slots(CONCURRENT_BATCHES)

    @property
    def waiting(self) -> bool:
        """Whether a table waits for ClickHouse, or the start is being decided."""
        return self._events.waiting or self._identifies.waiting or self._assignment.waiting

    def check_views(self, views: ViewCheck) -> None:
        """Check the views of the tables with *views*, from `start` on."""
        self._views = views
        for writer in (self._events, self._identifies):
            views.watch(writer)

    async def start(self, membership: Membership) -> None:
        """Start the lease that INSERTs carry."""
        self._lease.start(membership)
        if self._views is not None:
            self._views.start()

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return where each partition starts: the positions of both tables tell."""
        if self._views is not None:
            self._views.assigned(inputs)
        return await self._assignment.assigned(inputs)

    def commit_metadata(self, partition: int) -> str:
        """Return the positions that the tables have shown."""
        return self._assignment.commit_metadata(partition)

    async def process(self, batch: RecordBatch) -> None:
        """Write the rows of *batch*."""
        async with self._slots.take() as slot:
            rows = await asyncio.to_thread(item_rows, batch.records, self._events.log, batch.partition)
            await self._rejected.write_records(rows.rejected)
            await self._events.write_rows(rows.events, batch.partition, slot.release)
            await self._identifies.write_rows(rows.identifies, batch.partition, slot.release)

    async def stop(self) -> None:
        """End the lease, and log the last rejections; connections belong to the sink."""
        self._lease.stop()
        if self._views is not None:
            self._views.stop()
        self._rejected.stop()


class PersonsTableStage:
    """Writes `person_states`."""

    compacted = True
    max_records = 10_000
    # Few rows: a longer linger gives fewer INSERTs, each of which has a fixed cost.
    linger_seconds = 0.4

    def __init__(
        self, topics: Topics, sink: Sink, rejected: RejectedTopic, sink_log: SinkLog, lease: SinkLease
    ) -> None:
        self.topic = topics.persons
        self._rejected = rejected
        self._persons = TableWriter(PERSONS, sink, rejected)
        self._lease = lease
        self._persons.start(lease)
        self._views: ViewCheck | None = None
        self._assignment = Assignment(topics.persons, [self._persons], sink_log, OwnOffsetFinder(topics.persons))
        self._slots = Slots(CONCURRENT_BATCHES)

    @property
    def waiting(self) -> bool:
        """Whether the table waits for ClickHouse, or the start is being decided."""
        return self._persons.waiting or self._assignment.waiting

    def check_views(self, views: ViewCheck) -> None:
        """Check the views of the table with *views*, from `start` on."""
        self._views = views
        views.watch(self._persons)

    async def start(self, membership: Membership) -> None:
        """Start the lease that INSERTs carry."""
        self._lease.start(membership)
        if self._views is not None:
            self._views.start()

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return where each partition starts: after the position of the table, an offset of the topic itself."""
        if self._views is not None:
            self._views.assigned(inputs)
        return await self._assignment.assigned(inputs)

    def commit_metadata(self, partition: int) -> str:
        """Return the position that the table has shown."""
        return self._assignment.commit_metadata(partition)

    async def process(self, batch: RecordBatch) -> None:
        """Write the rows of *batch*."""
        async with self._slots.take() as slot:
            rows, rejected = person_rows(batch.records, self._persons.log, batch.partition)
            await self._rejected.write_records(rejected)
            await self._persons.write_rows(rows, batch.partition, slot.release)

    async def stop(self) -> None:
        """End the lease, and log the last rejections; connections belong to the sink."""
        self._lease.stop()
        if self._views is not None:
            self._views.stop()
        self._rejected.stop()


def stages(
    settings: WorkerSettings,
    rejected: RejectedTopic,
    identity: Callable[[], Awaitable[LogIdentity]],
    topic_ids: Mapping[str, str],
) -> list[Stage]:
    """Return the stages of the sink worker.

    *identity* tells which log it reads, and *topic_ids* the ids of topics, once the worker is connected.
    """
    topics = Topics(settings.kafka.topic_prefix)
    clickhouse = ClickHouse(settings.clickhouse)
    sink = ClickHouseSink(clickhouse)
    logs = ClickHouseLogs(clickhouse, settings.clickhouse.database)
    sink_log = SinkLog(logs, identity, kafka_log_reader(settings.kafka), topic_ids)
    lease = ServerLease(clickhouse.clock)
    events = EventsStage(topics, sink, rejected, sink_log, lease)
    persons = PersonsTableStage(topics, sink, rejected, sink_log, lease)
    for_checks = ClickHouse(settings.clickhouse)
    duplicates = DuplicatesStage(topics, sink, rejected, sink_log, lease)
    for stage in (events, persons, duplicates):
        stage.check_views(ViewCheck(for_checks, rejected.metrics))
    return [events, persons, duplicates]
