"""The sink alone: from `events.v1` to rows that a query returns."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from time import perf_counter

import aiohttp

from processors.clickhouse.client import ClickHouse
from tests.benchmarks.cluster import BenchCluster, Namespace, merged, until
from tests.benchmarks.datagen import ItemGenerator, load
from tests.benchmarks.errors import BenchError
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

EVENTS = 200_000
UNIT = "rows/s"
_BLOCK = EVENTS
"""Rows that the Kafka table engine reads per SELECT, because each SELECT joins the consumer group again."""

# Properties are read as text, which is faster than JSON; the INSERT converts them.
_TABLE = """
CREATE TABLE queue (
    type String, projectId String, messageId String, userId String, event String, timestamp DateTime64(6, 'UTC'),
    receivedAt DateTime64(6, 'UTC'), originalTimestamp Nullable(DateTime64(6, 'UTC')),
    sentAt Nullable(DateTime64(6, 'UTC')), anonymousId Nullable(String), properties String, context String,
    integrations String
) ENGINE = Kafka SETTINGS kafka_broker_list = '{broker}', kafka_topic_list = '{topic}', kafka_group_name = '{group}',
    kafka_format = 'JSONEachRow', kafka_num_consumers = 1, kafka_max_block_size = {block},
    kafka_poll_max_batch_size = {block}, kafka_poll_timeout_ms = 1000, kafka_flush_interval_ms = 2000,
    kafka_commit_on_select = 1
"""
_MOVE = """
INSERT INTO events (project_id, event, user_id, message_id, timestamp, properties, received_at, original_timestamp,
    sent_at, anonymous_id, context, integrations, _partition, _origin)
SELECT projectId, event, userId, messageId, timestamp, if(empty(properties), '{}', properties)::JSON, receivedAt,
    originalTimestamp, sentAt, anonymousId, context, integrations, _partition, _offset FROM queue
"""
_MOVE_SETTINGS = {
    "stream_like_engine_allow_direct_select": "1",
    "date_time_input_format": "best_effort",
    "async_insert": "0",
    "max_block_size": str(_BLOCK),
    "min_insert_block_size_rows": str(_BLOCK),
    "max_insert_threads": "1",
    "stream_flush_interval_ms": "2000",
}


@dataclass(slots=True)
class Fill:
    """A sink in one namespace, measured from resuming it to the last row of a round."""

    namespace: Namespace
    clickhouse: ClickHouse
    generator: ItemGenerator = field(default_factory=ItemGenerator)
    origins: dict[int, int] = field(default_factory=dict)

    async def measure(self) -> Sample:
        """Write events while the namespace is suspended, resume it, and wait until all are rows."""
        cluster = self.namespace.cluster
        before = await self.rows()
        with self.namespace.suspended():
            outputs = self.generator.tracks(EVENTS)
            await load(cluster.output, self.namespace.topics.events, outputs, self.origins)
        began = perf_counter()
        async with measured(merged([self.namespace.pids(), cluster.pids()])) as usage:
            await self.fill(before + EVENTS)
            seconds = perf_counter() - began
        return Sample(EVENTS / seconds, usage.per_million(EVENTS), usage.peak_mib)

    async def fill(self, due: int) -> None:
        """Return when the table has *due* rows."""

        async def complete() -> bool:
            return await self.rows() >= due

        await until(complete, f"{self.namespace.name} has written {due} rows", every_seconds=0.1)

    async def rows(self) -> int:
        """Return the number of rows in `events`."""
        found = await asyncio.to_thread(self.clickhouse.query, "SELECT count() AS n FROM events")
        return int(found[0]["n"])


class Loop(Fill):
    """ClickHouse's Kafka table engine, copied into `events` by repeated INSERT … SELECT."""

    __slots__ = ()

    async def fill(self, due: int) -> None:
        """Return when the table has *due* rows."""
        while await self.rows() < due:
            await execute(self.namespace, _MOVE, _MOVE_SETTINGS)


async def open_queue(namespace: Namespace) -> None:
    """Create a Kafka engine table on `events.v1` of *namespace*."""
    table = _TABLE.format(
        broker=namespace.cluster.broker, topic=namespace.topics.events, group=namespace.name, block=_BLOCK
    )
    # chdb runs no background threads for the table: it reports an error, and the table exists all the same.
    with suppress(BenchError):
        await execute(namespace, table)


async def close_queue(namespace: Namespace) -> None:
    """Drop the Kafka engine table, which would otherwise keep fetching."""
    await execute(namespace, "DROP TABLE queue")


async def execute(namespace: Namespace, sql: str, settings: Mapping[str, str] | None = None) -> None:
    """Run *sql* in the database of *namespace* without a timeout: a Kafka engine table waits for its group."""
    kept = namespace.services.clickhouse_settings
    parameters = {"database": kept.database, **(settings or {})}
    headers = {"Authorization": aiohttp.encode_basic_auth(kept.username, kept.password)}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(kept.url, params=parameters, data=sql.encode()) as response,
    ):
        if response.status != 200:
            raise BenchError(f"{sql[:80].strip()} …: {await response.text()}")


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare the sink worker with ClickHouse's Kafka table engine in a loop."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(cluster.namespace("sink-ours"))
        fill = Fill(ours, await asyncio.to_thread(ours.migrate))
        await ours.start_workers("sink")
        theirs = await stack.enter_async_context(cluster.namespace("sink-loop"))
        loop = Loop(theirs, await asyncio.to_thread(theirs.migrate))
        for namespace in (ours, theirs):
            # Merges continue after the last row and would distort the next measurement.
            await execute(namespace, "SYSTEM STOP MERGES")
        await open_queue(theirs)
        candidates = [
            Candidate("ClickHouse's Kafka table engine in a loop", UNIT, loop.measure),
            Candidate("sink worker", UNIT, fill.measure),
        ]
        rows = await run_interleaved("sink", candidates, plan.rounds, cluster.say)
        await close_queue(theirs)
        return rows
