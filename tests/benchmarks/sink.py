"""The sink alone: events on the topic, rows that a query sees."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from time import perf_counter

import aiohttp

from deploy.errors import BenchError
from processors.clickhouse.client import ClickHouse
from tests.benchmarks.cluster import BenchCluster, Namespace, joined, until
from tests.benchmarks.datagen import Feed, load
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

EVENTS = 200_000
UNIT = "rows/s"
_BLOCK = EVENTS
"""Rows that the engine's own table reads at once: for each SELECT it joins its group and fetches anew."""

# The properties are text in it, which it reads faster than JSON; the INSERT makes JSON of them.
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
    """A sink of one site, measured from its first rows of a round to its last."""

    site: Namespace
    clickhouse: ClickHouse
    feed: Feed = field(default_factory=Feed)
    origins: dict[int, int] = field(default_factory=dict)

    async def measure(self) -> Sample:
        """Write events while the site rests, let it go on, and wait until all are rows."""
        world = self.site.world
        before = await self.rows()
        with self.site.suspended():
            outputs = self.feed.tracks(EVENTS)
            await load(world.output, self.site.topics.events, outputs, self.origins)
        began = perf_counter()
        async with measured(joined([self.site.pids(), world.pids()])) as usage:
            await self.fill(before + EVENTS)
            seconds = perf_counter() - began
        return Sample(EVENTS / seconds, usage.per_million(EVENTS), usage.peak_mib)

    async def fill(self, due: int) -> None:
        """Return when *due* rows are there."""

        async def complete() -> bool:
            return await self.rows() >= due

        await until(complete, f"{self.site.name} fills the table", every_seconds=0.1)

    async def rows(self) -> int:
        """Return how many rows there are."""
        found = await asyncio.to_thread(self.clickhouse.query, "SELECT count() AS n FROM events")
        return int(found[0]["n"])


class Loop(Fill):
    """The engine's own Kafka table, moved into the table of events by one INSERT … SELECT after the other."""

    __slots__ = ()

    async def fill(self, due: int) -> None:
        """Return when *due* rows are there."""
        while await self.rows() < due:
            await execute(self.site, _MOVE, _MOVE_SETTINGS)


async def open_queue(site: Namespace) -> None:
    """Make the engine's own Kafka table of the site's events."""
    table = _TABLE.format(broker=site.world.broker, topic=site.topics.events, group=site.name, block=_BLOCK)
    # Within `chdb` nothing runs in the table's background: it is made all the same, and the engine complains.
    with suppress(BenchError):
        await execute(site, table)


async def close_queue(site: Namespace) -> None:
    """Leave the group: the engine would go on fetching."""
    await execute(site, "DROP TABLE queue")


async def execute(site: Namespace, sql: str, settings: Mapping[str, str] | None = None) -> None:
    """Run *sql* in the site's database however long it takes: the engine's own table waits for its group in it."""
    kept = site.parts.clickhouse_settings
    parameters = {"database": kept.database, **(settings or {})}
    async with (
        aiohttp.ClientSession(auth=aiohttp.BasicAuth(kept.username, kept.password)) as session,
        session.post(kept.url, params=parameters, data=sql.encode()) as response,
    ):
        if response.status != 200:
            raise BenchError(f"{sql[:80].strip()} …: {await response.text()}")


async def compare(world: BenchCluster, plan: Plan) -> list[Row]:
    """The sink worker through the HTTP front, beside the engine's own Kafka table in a loop."""
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(world.site("sink-ours"))
        fill = Fill(ours, await asyncio.to_thread(ours.migrate))
        await ours.start_workers("sink")
        theirs = await stack.enter_async_context(world.site("sink-loop"))
        loop = Loop(theirs, await asyncio.to_thread(theirs.migrate))
        for site in (ours, theirs):
            # Merges go on for long after the rows are there, and would count for whoever comes next.
            await execute(site, "SYSTEM STOP MERGES")
        await open_queue(theirs)
        contenders = [
            Candidate("the engine's Kafka table in a loop", UNIT, loop.measure),
            Candidate("sink worker", UNIT, fill.measure),
        ]
        rows = await run_interleaved("sink", contenders, plan.rounds, world.say)
        await close_queue(theirs)
        return rows
