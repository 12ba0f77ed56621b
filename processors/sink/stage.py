"""The sink's stages: `events.v1` and `persons.v1` to ClickHouse; the other topics have modules of their own.

While ClickHouse is unavailable, batches wait without a time limit; the topics buffer what arrives. A row that
ClickHouse cannot store goes to `rejected.v1`, and the rest of its block is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from processors.clickhouse.client import ClickHouse
from processors.engine.project_follower import FollowedProjects
from processors.engine.stage import AssignedOffsets, InputOffsets, Membership, RecordBatch, Stage
from processors.erasures.keeper import erasure_keeper
from processors.rejected_topic import RejectedTopic
from processors.retention.keeper import retention_keeper
from processors.settings import WorkerSettings
from processors.sink.assignment import Assignment, SinkLog
from processors.sink.catalog import Catalog, catalog
from processors.sink.duplicates import DuplicatesStage
from processors.sink.erased import ErasedRows
from processors.sink.insert import ClickHouseSink, Sink
from processors.sink.lease import ServerLease, SinkLease
from processors.sink.log_reader import OwnOffsetFinder, SourceOffsetFinder, kafka_log_reader
from processors.sink.logs import ClickHouseLogs, LogIdentity
from processors.sink.rejected import RejectedStage
from processors.sink.rows import item_rows, person_rows
from processors.sink.table_stage import TableStage
from processors.sink.views import ViewCheck
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS
from schemas.topics import Topics


class EventsStage(TableStage):
    """Writes `events` and `identifies`."""

    linger_seconds = 0.25

    def __init__(
        self, topics: Topics, sink: Sink, rejected: RejectedTopic, sink_log: SinkLog, lease: SinkLease
    ) -> None:
        self._events = TableWriter(EVENTS, sink, rejected)
        self._identifies = TableWriter(IDENTIFIES, sink, rejected)
        writers = [self._events, self._identifies]
        finder = SourceOffsetFinder(topics.events, topics.items, sink_log.reader)
        super().__init__(topics.events, writers, rejected, Assignment(topics.events, writers, sink_log, finder), lease)
        self._catalog: Catalog | None = None

    def keep_catalog(self, kept: Catalog) -> None:
        """Keep *kept* while this worker has partition 0, from `start` on."""
        self._catalog = kept

    async def start(self, membership: Membership) -> None:
        """Start the lease that INSERTs carry, and the catalogue."""
        await super().start(membership)
        if self._catalog is not None:
            self._catalog.start()

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return where each partition starts: the positions of the tables tell."""
        offsets = await super().assigned(inputs)
        if self._catalog is not None:
            self._catalog.set_owner(counts=0 in inputs)
        return offsets

    async def stop(self) -> None:
        """End the lease and the catalogue."""
        if self._catalog is not None:
            self._catalog.stop()
        await super().stop()

    async def _write(self, batch: RecordBatch, on_refused: Callable[[], None]) -> None:
        rows = await asyncio.to_thread(item_rows, batch.records, self._events.log, batch.partition)
        await self._rejected.write_records(rows.rejected, batch.topic, batch.partition)
        await self._events.write_rows(rows.events, batch.partition, on_refused)
        await self._identifies.write_rows(rows.identifies, batch.partition, on_refused)


class PersonsTableStage(TableStage):
    """Writes `person_states`."""

    compacted = True

    def __init__(
        self, topics: Topics, sink: Sink, rejected: RejectedTopic, sink_log: SinkLog, lease: SinkLease
    ) -> None:
        self._persons = TableWriter(PERSONS, sink, rejected)
        # The position of the table is an offset of the topic itself.
        assignment = Assignment(topics.persons, [self._persons], sink_log, OwnOffsetFinder(topics.persons))
        super().__init__(topics.persons, [self._persons], rejected, assignment, lease)

    async def _write(self, batch: RecordBatch, on_refused: Callable[[], None]) -> None:
        rows, rejected = person_rows(batch.records, self._persons.log, batch.partition)
        await self._rejected.write_records(rejected, batch.topic, batch.partition)
        await self._persons.write_rows(rows, batch.partition, on_refused)


def stages(
    settings: WorkerSettings,
    rejected: RejectedTopic,
    identity: Callable[[], Awaitable[LogIdentity]],
    topic_ids: Mapping[str, str],
    projects: FollowedProjects,
) -> list[Stage]:
    """Return the stages of the sink worker.

    *identity* tells which log it reads, *topic_ids* the ids of topics, and *projects* what administrators have decided,
    once the worker is connected.
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
    rejections = RejectedStage(topics, sink, rejected, sink_log, lease)
    erased = ErasedRows(projects)
    for stage in (events, persons, duplicates, rejections):
        stage.leave_out(erased)
        stage.check_views(ViewCheck(for_checks, rejected.metrics))
    retention = retention_keeper(settings.clickhouse, projects, lease, rejected.metrics)
    erasures = erasure_keeper(settings.clickhouse, settings.kafka, projects, rejected.metrics)
    events.keep_catalog(catalog(settings.clickhouse, lease, rejected.metrics, [erasures, retention]))
    return [events, persons, duplicates, rejections]
