"""Recovery: a dedupe worker without local state restores its entries from the changelog."""

from __future__ import annotations

import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

from tests.benchmarks.cluster import BenchCluster, Namespace, until
from tests.benchmarks.datagen import ItemGenerator, load
from tests.benchmarks.dedupe import ITEMS
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured
from tests.faults.log_lines import ASSIGNED


@dataclass(slots=True)
class Recovery:
    """Starts a worker that has lost its state directory."""

    namespace: Namespace
    entries: int

    async def measure(self) -> Sample:
        """Start a worker, time it until its partitions are assigned and recovered, and stop it."""
        shutil.rmtree(self.namespace.services.worker_directory("dedupe-1"), ignore_errors=True)
        log = self.namespace.services.state / "logs" / "dedupe-1.log"
        log.unlink(missing_ok=True)
        began = perf_counter()
        await self.namespace.start_workers("dedupe")
        async with measured(self.namespace.pids()) as usage:
            await until(lambda: ASSIGNED in log.read_text(), "the worker has recovered")
            seconds = perf_counter() - began
        await self.namespace.stop()
        return Sample(seconds, usage.per_million(self.entries), usage.peak_mib)


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare a start with entries in the changelog and a start with none."""
    async with AsyncExitStack() as stack:
        candidates: list[Candidate] = []
        for entries in (0, plan.recovered):
            namespace = await stack.enter_async_context(cluster.namespace(f"recovery-{entries}"))
            generator, origins = ItemGenerator(), dict[int, int]()
            for start in range(0, entries, ITEMS):
                outputs = generator.tracks(min(ITEMS, entries - start))
                await load(cluster.output, namespace.topics.items, outputs)
                await load(cluster.output, namespace.topics.events, outputs, origins)
            candidates.append(Candidate(f"{entries:,} entries", "s", Recovery(namespace, entries).measure))
        return await run_interleaved("worker start until recovery is complete", candidates, plan.rounds, cluster.say)
