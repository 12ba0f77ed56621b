"""Dedupe alone: items on the topic, each once on the next."""

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
from tests.benchmarks.cluster import PARTITIONS, BenchCluster, Namespace, joined, process, until
from tests.benchmarks.datagen import Feed, distinct, load
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
    """A dedupe of one site, measured from its first output of a round to its last."""

    site: Namespace
    items: int
    duplicates: float
    feed: Feed = field(default_factory=Feed)

    async def measure(self) -> Sample:
        """Write items while the site rests, let it go on, and wait until all have come out."""
        world, topics = self.site.world, self.site.topics
        outputs = self.feed.tracks(self.items, duplicates=self.duplicates)
        before = await world.end(topics.events)
        with self.site.suspended():
            await load(world.output, topics.items, outputs)
        due = before + distinct(outputs)
        await until(lambda: self._end_exceeds(before), f"{self.site.name} begins")
        began, first = perf_counter(), await world.end(topics.events) - before
        async with measured(joined([self.site.pids(), world.pids()])) as usage:
            await until(lambda: self._end_exceeds(due - 1), f"{self.site.name} decides")
            seconds = perf_counter() - began
        done = self.items * (1 - first / (due - before))
        return Sample(done / seconds, usage.per_million(done), usage.peak_mib)

    async def _end_exceeds(self, offset: int) -> bool:
        return await self.site.world.end(self.site.topics.events) > offset


async def compare(world: BenchCluster, plan: Plan) -> list[Row]:
    """One and two workers beside the obvious agent and the peers that the caller brings; 10 % are duplicates."""
    async with AsyncExitStack() as stack:
        contenders: list[Candidate] = []
        for name, workers in (("one worker", 1), ("two workers", 2)):
            site = await stack.enter_async_context(world.site(f"dedupe-{workers}", SEQUENCE_LOCAL_WORKERS=str(workers)))
            await site.start_workers("dedupe")
            contenders.append(Candidate(name, UNIT, Drain(site, ITEMS, 0.1).measure))
        site = await stack.enter_async_context(world.site("dedupe-obvious"))
        await site.start(naive_agent(site))
        contenders.append(Candidate("the obvious Faust agent", UNIT, Drain(site, NAIVE_ITEMS, 0.1).measure))
        for name, command in plan.peers.items():
            site = await stack.enter_async_context(world.site(f"dedupe-{name}"))
            await site.start(_peer(world, site, name, command))
            contenders.append(Candidate(name, UNIT, Drain(site, ITEMS, 0.1).measure))
        return await run_interleaved("dedupe", contenders, plan.rounds, world.say)


async def compare_states(world: BenchCluster, plan: Plan) -> list[Row]:
    """Other shares of duplicates, and a store that holds many marks already."""
    async with AsyncExitStack() as stack:
        filled = world.directory / "filled"
        mark(filled, plan.marks)
        contenders: list[Candidate] = []
        for name, duplicates, marks in (
            ("no duplicates, no marks", 0.0, 0),
            (f"no duplicates, {plan.marks:,} marks", 0.0, plan.marks),
            ("90 % duplicates, no marks", 0.9, 0),
            (f"90 % duplicates, {plan.marks:,} marks", 0.9, plan.marks),
        ):
            site = await stack.enter_async_context(world.site(f"marks-{len(contenders)}"))
            if marks:
                shutil.copytree(filled, site.parts.worker_directory("dedupe-1"))
            await site.start_workers("dedupe")
            contenders.append(Candidate(name, UNIT, Drain(site, ITEMS, duplicates).measure))
        return await run_interleaved("dedupe by state", contenders, plan.rounds, world.say)


def mark(directory: Path, marks: int) -> None:
    """Fill the store of a worker that has not run yet with *marks*, spread over the window, of a log that is empty."""
    now_ms = time.time_ns() // 1_000_000
    states = [PartitionStore(directory / "seen" / str(number), StoreConfig(WINDOW_MS)) for number in range(PARTITIONS)]
    for start in range(0, marks, 100_000):
        keys = [b"bench/before-%012d" % number for number in range(start, min(start + 100_000, marks))]
        time_ms = now_ms - WINDOW_MS + WINDOW_MS * start // marks
        placed = partitions_for(keys, PARTITIONS)
        for number, state in enumerate(states):
            puts = [
                (key, pack_entry(-1, time_ms), time_ms) for key, at in zip(keys, placed, strict=True) if at == number
            ]
            state.apply(puts, position=-1, processed_offset=-1)
    for state in states:
        state.close()


def naive_agent(site: Namespace) -> Service:
    """Return the obvious Faust agent between the site's topics."""
    world, topics = site.world, site.topics
    command = [sys.executable, "-m", "tests.benchmarks.naive_agent", world.broker, topics.items, topics.events]
    return process("obvious-agent", [*command, str(site.parts.state / "agent")], world.environ)


def _peer(world: BenchCluster, site: Namespace, name: str, command: str) -> Service:
    """Return the peer that *command* runs; it is told where its records come from and go to."""
    words = {"broker": world.broker, "items": site.topics.items, "events": site.topics.events, "name": site.name}
    state = site.parts.state / "peer"
    state.mkdir(parents=True, exist_ok=True)
    environ = {**world.environ, "BROKER": world.broker, "STATE_DIR": str(state)}
    return process(name, [word.format_map(words) for word in shlex.split(command)], environ)
