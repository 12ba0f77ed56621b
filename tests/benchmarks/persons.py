"""Persons alone: from `identifies.v1` to `persons.v1`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.engine.producer import Output
from schemas.records import partition_for
from tests.benchmarks.cluster import PARTITIONS, BenchCluster, Namespace, merged
from tests.benchmarks.datagen import ItemGenerator, load
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

IDENTIFIES = 40_000
KNOWN_USERS = 40
UNIT = "identifies/s"
SENTINEL = "last"
"""Marker in the user IDs whose identify is the last of its partition."""


@dataclass(slots=True)
class Folding:
    """A persons worker in one namespace; it folds *users* repeatedly, or each identify is of a new person."""

    namespace: Namespace
    users: list[str]
    generator: ItemGenerator = field(default_factory=ItemGenerator)

    async def measure(self) -> Sample:
        """Write identifies while the namespace is suspended, resume it, and wait for the last of each partition."""
        cluster = self.namespace.cluster
        outputs = self.generator.identifies(IDENTIFIES, self.users)
        last = self._sentinels()
        async with _Reader(self.namespace) as reader:
            with self.namespace.suspended():
                await load(cluster.output, self.namespace.topics.identifies, outputs)
                await load(cluster.output, self.namespace.topics.identifies, last)
            began = perf_counter()
            async with measured(merged([self.namespace.pids(), cluster.pids()])) as usage:
                await reader.seen(PARTITIONS)
                seconds = perf_counter() - began
        return Sample(IDENTIFIES / seconds, usage.per_million(IDENTIFIES), usage.peak_mib)

    def _sentinels(self) -> list[Output]:
        """Return one identify per partition, written last: once it is folded, so is everything before it."""
        wanted = set(range(PARTITIONS))
        found = []
        while wanted:
            user = self.generator.users(1)[0] + f"-{SENTINEL}-{self.generator.made}"
            (identify,) = self.generator.identifies(1, [user])
            partition = partition_for(identify.key, PARTITIONS)
            if partition in wanted:
                wanted.remove(partition)
                found.append(identify)
        return found


class _Reader:
    """Reads `persons.v1` from its end and waits for sentinels."""

    def __init__(self, namespace: Namespace) -> None:
        self._topic = namespace.topics.persons
        self._consumer = AIOKafkaConsumer(bootstrap_servers=namespace.cluster.broker, fetch_max_wait_ms=20)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign([TopicPartition(self._topic, number) for number in range(PARTITIONS)])
        await self._consumer.seek_to_end()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def seen(self, number: int) -> None:
        """Return when *number* sentinels were read."""
        keys: set[bytes] = set()
        while len(keys) < number:
            for records in (await self._consumer.getmany(timeout_ms=20)).values():
                keys.update(record.key for record in records if SENTINEL.encode() in record.key)


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare new persons with persons that were folded more than a thousand times."""
    async with AsyncExitStack() as stack:
        candidates = []
        for name, known in (("each of a new person", 0), ("of persons with 1,000 folds", KNOWN_USERS)):
            namespace = await stack.enter_async_context(cluster.namespace(f"persons-{known}"))
            await namespace.start_workers("persons")
            folding = Folding(namespace, ItemGenerator().users(known))
            if known:
                await folding.measure()
            candidates.append(Candidate(name, UNIT, folding.measure))
        return await run_interleaved("persons", candidates, plan.rounds, cluster.say)
