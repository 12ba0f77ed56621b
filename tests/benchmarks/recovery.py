"""Recovery of marks: a worker without local state reads them again from the log."""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

from tests.benchmarks.cluster import BenchCluster, Namespace, until
from tests.benchmarks.datagen import Feed, load
from tests.benchmarks.dedupe import ITEMS
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured


@dataclass(slots=True)
class Recovery:
    """Starts of a worker that has lost its directory."""

    site: Namespace
    marks: int

    async def measure(self) -> Sample:
        """Start a worker, time it until it is at work, and end it."""
        shutil.rmtree(self.site.parts.worker_directory("dedupe-1"), ignore_errors=True)
        log = self.site.parts.state / "logs" / "dedupe-1.log"
        log.unlink(missing_ok=True)
        began = perf_counter()
        await self.site.start_workers("dedupe")
        async with measured(self.site.pids()) as usage:
            await until(lambda: ": at work on partitions" in log.read_text(), "the worker is at work")
            seconds = perf_counter() - began
        await self.site.stop()
        return Sample(seconds, usage.per_million(self.marks), usage.peak_mib)


async def compare(world: BenchCluster, plan: Plan) -> list[Row]:
    """Starts with marks in the log, and with none."""
    async with AsyncExitStack() as stack:
        contenders: list[Candidate] = []
        for marks in (0, plan.recovered):
            site = await stack.enter_async_context(world.site(f"recovery-{marks}"))
            feed, origins = Feed(), dict[int, int]()
            for start in range(0, marks, ITEMS):
                outputs = feed.tracks(min(ITEMS, marks - start))
                await load(world.output, site.topics.items, outputs)
                await load(world.output, site.topics.events, outputs, origins)
            contenders.append(Candidate(f"{marks:,} marks", "s", Recovery(site, marks).measure))
        return await run_interleaved("a worker's start until it is at work", contenders, plan.rounds, world.say)
