"""Dedupe alone: from `items.v1` to `events.v1`."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from deploy.local.supervisor import Service
from processors.dedupe.decision import pack_entry
from processors.engine.rocksdb import PartitionStore, StoreConfig
from schemas.records import partitions_for
from schemas.topics import DAY_MS
from tests.benchmarks.cluster import PARTITIONS, BenchCluster, Namespace, merged, process, until
from tests.benchmarks.datagen import ItemGenerator, distinct, load
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

WINDOW_MS = 7 * DAY_MS
ITEMS = 200_000
NAIVE_ITEMS = 8_000
UNIT = "items/s"


@dataclass(slots=True)
class Drain:
    """A dedupe implementation in one namespace, measured from its first output of a round to its last."""

    namespace: Namespace
    items: int
    duplicates: float
    generator: ItemGenerator = field(default_factory=ItemGenerator)

    async def measure(self) -> Sample:
        """Write items while the namespace is suspended, resume it, and wait until every distinct item is an event."""
        cluster, topics = self.namespace.cluster, self.namespace.topics
        outputs = self.generator.tracks(self.items, duplicates=self.duplicates)
        before = await cluster.end(topics.events)
        with self.namespace.suspended():
            await load(cluster.output, topics.items, outputs)
        due = before + distinct(outputs)
        await until(lambda: self._end_exceeds(before), f"{self.namespace.name} begins")
        began, first = perf_counter(), await cluster.end(topics.events) - before
        async with measured(merged([self.namespace.pids(), cluster.pids()])) as usage:
            await until(lambda: self._end_exceeds(due - 1), f"{self.namespace.name} decides")
            seconds = perf_counter() - began
        done = self.items * (1 - first / (due - before))
        return Sample(done / seconds, usage.per_million(done), usage.peak_mib)

    async def _end_exceeds(self, offset: int) -> bool:
        return await self.namespace.cluster.end(self.namespace.topics.events) > offset


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare one and two workers with the naive agent and the given peers, with 10 % duplicates."""
    async with AsyncExitStack() as stack:
        candidates: list[Candidate] = []
        for name, workers in (("one worker", 1), ("two workers", 2)):
            namespace = await stack.enter_async_context(
                cluster.namespace(f"dedupe-{workers}", SEQUENCE_LOCAL_WORKERS=str(workers))
            )
            await namespace.start_workers("dedupe")
            candidates.append(Candidate(name, UNIT, Drain(namespace, ITEMS, 0.1).measure))
        namespace = await stack.enter_async_context(cluster.namespace("dedupe-naive"))
        await namespace.start(naive_agent(namespace))
        candidates.append(Candidate("a naive Faust agent", UNIT, Drain(namespace, NAIVE_ITEMS, 0.1).measure))
        for name, command in plan.peers.items():
            namespace = await stack.enter_async_context(cluster.namespace(f"dedupe-{name}"))
            await namespace.start(_peer(cluster, namespace, name, command))
            candidates.append(Candidate(name, UNIT, Drain(namespace, ITEMS, 0.1).measure))
        return await run_interleaved("dedupe", candidates, plan.rounds, cluster.say)


async def compare_states(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare shares of duplicates, and a store that already holds many dedupe entries."""
    async with AsyncExitStack() as stack:
        filled = cluster.directory / "filled"
        fill_store(filled, plan.entries)
        candidates: list[Candidate] = []
        for name, duplicates, entries in (
            ("no duplicates, no entries", 0.0, 0),
            (f"no duplicates, {plan.entries:,} entries", 0.0, plan.entries),
            ("90 % duplicates, no entries", 0.9, 0),
            (f"90 % duplicates, {plan.entries:,} entries", 0.9, plan.entries),
        ):
            namespace = await stack.enter_async_context(cluster.namespace(f"entries-{len(candidates)}"))
            if entries:
                shutil.copytree(filled, namespace.services.worker_directory("dedupe-1"))
            await namespace.start_workers("dedupe")
            candidates.append(Candidate(name, UNIT, Drain(namespace, ITEMS, duplicates).measure))
        return await run_interleaved("dedupe by state", candidates, plan.rounds, cluster.say)


def fill_store(directory: Path, entries: int) -> None:
    """Fill the store of a worker that has not run yet with *entries* dedupe entries, spread over the window."""
    now_ms = time.time_ns() // 1_000_000
    stores = [PartitionStore(directory / "seen" / str(number), StoreConfig(WINDOW_MS)) for number in range(PARTITIONS)]
    for start in range(0, entries, 100_000):
        keys = [b"bench/before-%012d" % number for number in range(start, min(start + 100_000, entries))]
        time_ms = now_ms - WINDOW_MS + WINDOW_MS * start // entries
        placed = partitions_for(keys, PARTITIONS)
        for number, state in enumerate(stores):
            puts = [
                (key, pack_entry(-1, time_ms), time_ms) for key, at in zip(keys, placed, strict=True) if at == number
            ]
            state.apply(puts, changelog_offset=-1, processed_offset=-1)
    for state in stores:
        state.close()


def naive_agent(namespace: Namespace) -> Service:
    """Return the naive Faust agent, from `items.v1` to `events.v1` of *namespace*."""
    cluster, topics = namespace.cluster, namespace.topics
    command = [sys.executable, "-m", "tests.benchmarks.naive_agent", cluster.broker, topics.items, topics.events]
    return process("naive-agent", [*command, str(namespace.services.state / "agent")], cluster.environ)


def _peer(cluster: BenchCluster, namespace: Namespace, name: str, command: str) -> Service:
    """Return the service that *command* runs, with broker, topics and name filled in."""
    words = {
        "broker": cluster.broker,
        "items": namespace.topics.items,
        "events": namespace.topics.events,
        "name": namespace.name,
    }
    state = namespace.services.state / "peer"
    state.mkdir(parents=True, exist_ok=True)
    environ = {**cluster.environ, "BROKER": cluster.broker, "STATE_DIR": str(state)}
    return process(name, [word.format_map(words) for word in shlex.split(command)], environ)
