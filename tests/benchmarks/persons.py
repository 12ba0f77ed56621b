"""Persons alone: identifies on `identifies.v1`, states on `persons.v1`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.engine.producer import Output
from schemas.records import partition_for
from tests.benchmarks.cluster import PARTITIONS, BenchCluster, Namespace, joined
from tests.benchmarks.datagen import Feed, load
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

IDENTIFIES = 40_000
KNOWN_USERS = 40
UNIT = "identifies/s"
SENTINEL = "last"
"""In the names of users whose identify is the last of its partition."""


@dataclass(slots=True)
class Folding:
    """A persons worker of one site; *users* are folded again and again, or each identify is of a new one."""

    site: Namespace
    users: list[str]
    feed: Feed = field(default_factory=Feed)

    async def measure(self) -> Sample:
        """Write identifies while the site rests, let it go on, and wait until the last of each partition is folded."""
        world = self.site.world
        outputs = self.feed.identifies(IDENTIFIES, self.users)
        last = self._sentinels()
        async with _Reader(self.site) as reader:
            with self.site.suspended():
                await load(world.output, self.site.topics.identifies, outputs)
                await load(world.output, self.site.topics.identifies, last)
            began = perf_counter()
            async with measured(joined([self.site.pids(), world.pids()])) as usage:
                await reader.seen(PARTITIONS)
                seconds = perf_counter() - began
        return Sample(IDENTIFIES / seconds, usage.per_million(IDENTIFIES), usage.peak_mib)

    def _sentinels(self) -> list[Output]:
        """Return an identify for each partition: behind it everything is done."""
        wanted = set(range(PARTITIONS))
        found = []
        while wanted:
            user = self.feed.users(1)[0] + f"-{SENTINEL}-{self.feed.made}"
            (identify,) = self.feed.identifies(1, [user])
            partition = partition_for(identify.key, PARTITIONS)
            if partition in wanted:
                wanted.remove(partition)
                found.append(identify)
        return found


class _Reader:
    """Reads `persons.v1` from its end on, for sentinels."""

    def __init__(self, site: Namespace) -> None:
        self._topic = site.topics.persons
        self._consumer = AIOKafkaConsumer(bootstrap_servers=site.world.broker, fetch_max_wait_ms=20)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign([TopicPartition(self._topic, number) for number in range(PARTITIONS)])
        await self._consumer.seek_to_end()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def seen(self, number: int) -> None:
        """Return when *number* sentinels have come."""
        keys: set[bytes] = set()
        while len(keys) < number:
            for records in (await self._consumer.getmany(timeout_ms=20)).values():
                keys.update(record.key for record in records if SENTINEL.encode() in record.key)


async def compare(world: BenchCluster, plan: Plan) -> list[Row]:
    """New persons beside persons that have been folded a thousand times and more."""
    async with AsyncExitStack() as stack:
        contenders = []
        for name, known in (("each of a new person", 0), ("of persons with 1,000 folds", KNOWN_USERS)):
            site = await stack.enter_async_context(world.site(f"persons-{known}"))
            await site.start_workers("persons")
            folding = Folding(site, Feed().users(known))
            if known:
                await folding.measure()
            contenders.append(Candidate(name, UNIT, folding.measure))
        return await run_interleaved("persons", contenders, plan.rounds, world.say)
