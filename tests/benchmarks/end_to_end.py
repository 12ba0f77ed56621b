"""The whole pipeline: from requests to rows that a query returns."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import aiohttp

from deploy.local.ports import HOST
from processors.clickhouse.client import ClickHouse
from tests.benchmarks.cluster import BenchCluster, Namespace, merged, until
from tests.benchmarks.datagen import ItemGenerator
from tests.benchmarks.dedupe import NAIVE_ITEMS, naive_agent
from tests.benchmarks.gateway import open_project, start_naive_handler
from tests.benchmarks.loadgen import Load, Outcome, paced
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.sink import Loop, close_queue, open_queue
from tests.benchmarks.usage import measured

_BATCH = 100
_CONNECTIONS = 16
_COUNT = "SELECT (SELECT count() FROM events) + (SELECT count() FROM identifies) AS n"
_PROBES_PER_SECOND = 10
_PROBED = """
SELECT message_id FROM events
WHERE project_id = 'bench' AND event = 'Probe' AND has({ids:Array(String)}, message_id)
"""


@dataclass(slots=True)
class Pipeline:
    """All services of one namespace."""

    namespace: Namespace
    url: str
    token: str
    clickhouse: ClickHouse
    generator: ItemGenerator = field(default_factory=ItemGenerator)
    probes: int = 0
    """Number of probe items, which the generator does not count."""

    async def sustain(self, items_per_second: int, seconds: int) -> Sample:
        """Offer items for *seconds*, 10 % duplicates and 5 % identifies; wait until each is one row."""
        cluster = self.namespace.cluster
        bodies = self.generator.bodies(items_per_second * seconds // _BATCH, _BATCH, duplicates=0.1, identifies=0.05)
        began = perf_counter()
        async with measured(merged([self.namespace.pids(), cluster.pids()])) as usage:
            outcome = await self._load(bodies, items_per_second, seconds)
            loaded = perf_counter() - began
            await self._complete(120 + 5 * seconds)
            took = perf_counter() - began
        offered = len(bodies) * _BATCH
        more = {
            "offered for s": loaded,
            "last row after s": took - loaded,
            "failed requests": float(outcome.failed),
            "surplus rows": float(await self.rows() - self._due),
            "request p99 ms": outcome.p99_ms,
            "load CPU s": outcome.cpu_seconds,
        }
        return Sample(offered / took, usage.per_million(offered), usage.peak_mib, more)

    async def latency(self, items_per_second: int, seconds: int) -> Sample:
        """Offer items at a rate, and time single probe items from before the request until a query returns them."""
        bodies = self.generator.bodies(items_per_second * seconds // _BATCH, _BATCH)
        load = asyncio.create_task(self._load(bodies, items_per_second, seconds))
        await asyncio.sleep(1.0)
        probes = Probes(self.url, self.token, self.clickhouse)
        waits = await probes.run(seconds - 2.0)
        await load
        self.probes += len(waits)
        await self._complete(60)
        more = {"p99 ms": waits[len(waits) * 99 // 100], "probes": float(len(waits))}
        return Sample(waits[len(waits) // 2], more=more)

    async def rows(self) -> int:
        """Return the number of rows in `events` and `identifies`."""
        return int((await asyncio.to_thread(self.clickhouse.query, _COUNT))[0]["n"])

    @property
    def _due(self) -> int:
        return self.generator.made + self.probes

    async def _complete(self, seconds: float) -> None:
        """Wait until every item is a row."""

        async def complete() -> bool:
            return await self.rows() >= self._due

        await until(complete, f"{self._due} rows exist", seconds=seconds, every_seconds=0.1)

    async def _load(self, bodies: list[bytes], items_per_second: int, seconds: int) -> Outcome:
        """Post all of *bodies*, due within *seconds*. Late ones are posted as well, so that all become rows."""
        with _written(bodies, self.namespace) as file:
            return await paced(Load(self.url, self.token, file, _CONNECTIONS, 20 * seconds, items_per_second / _BATCH))


class Probes:
    """Single items, each timed from before its request until a query returns it."""

    def __init__(self, url: str, token: str, clickhouse: ClickHouse) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._clickhouse = clickhouse
        self._prefix = secrets.token_hex(6)
        self._sent: dict[str, float] = {}
        self._waits: list[float] = []

    async def run(self, seconds: float) -> list[float]:
        """Send probes for *seconds*; return their latencies in milliseconds, sorted."""
        count = int(seconds * _PROBES_PER_SECOND)
        looking = asyncio.create_task(self._look(count))
        async with aiohttp.ClientSession(headers=self._headers) as session, asyncio.TaskGroup() as sending:
            for number in range(count):
                sending.create_task(self._send(session, f"{self._prefix}-{number}"))
                await asyncio.sleep(1 / _PROBES_PER_SECOND)
        async with asyncio.timeout(60):
            await looking
        return sorted(self._waits)

    async def _send(self, session: aiohttp.ClientSession, message_id: str) -> None:
        item = {"type": "track", "userId": "probe", "event": "Probe", "messageId": message_id}
        self._sent[message_id] = perf_counter()
        async with session.post(self._url, json={"batch": [item]}) as response:
            response.raise_for_status()

    async def _look(self, count: int) -> None:
        while len(self._waits) < count:
            if not self._sent:
                await asyncio.sleep(0.01)
                continue
            found = await asyncio.to_thread(self._clickhouse.query, _PROBED, {"ids": list(self._sent)})
            now = perf_counter()
            self._waits += [1000 * (now - self._sent.pop(row["message_id"])) for row in found]
            await asyncio.sleep(0.01)


@dataclass(slots=True)
class NaivePipeline:
    """The naive handler, the naive agent, and ClickHouse's Kafka table engine in a loop."""

    loop: Loop
    url: str

    async def drain(self, items: int) -> Sample:
        """Post *items* items, 10 % duplicates and 5 % identifies, and copy them until each is a row."""
        namespace, generator = self.loop.namespace, self.loop.generator
        due = await self.loop.rows() + 1
        await self._post(generator.bodies(1, 1))
        await self.loop.fill(due)
        made = generator.made
        bodies = generator.bodies(items // _BATCH, _BATCH, duplicates=0.1, identifies=0.05)
        due += generator.made - made
        began = perf_counter()
        async with measured(merged([namespace.pids(), namespace.cluster.pids()])) as usage:
            posting = asyncio.create_task(self._post(bodies))
            async with asyncio.timeout(300):
                await self.loop.fill(due)
            took = perf_counter() - began
        await posting
        return Sample(items / took, usage.per_million(items), usage.peak_mib)

    async def _post(self, bodies: list[bytes]) -> None:
        with _written(bodies, self.loop.namespace) as file:
            await paced(Load(self.url, "none", file, _CONNECTIONS, 120, NAIVE_ITEMS / _BATCH))


@contextmanager
def _written(bodies: list[bytes], namespace: Namespace) -> Iterator[str]:
    """Yield the path of a file with one body per line."""
    with tempfile.NamedTemporaryFile(dir=namespace.services.state) as file:
        file.write(b"\n".join(bodies))
        file.flush()
        yield file.name


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare the naive pipeline with this one: sustained rate, and latency from first byte to row.

    The sustained rate is measured once, because it takes a minute, and last, because a JVM that has just started spends
    as much CPU on compilation as on records.
    """
    group, shares = "whole pipeline", "10 % duplicates, 5 % identifies"
    async with _naive_pipeline(cluster) as naive:
        candidate = Candidate(f"the naive pipeline, {shares}", "items/s", partial(naive.drain, NAIVE_ITEMS))
        rows = await run_interleaved(group, [candidate], 1, cluster.say)
    async with running_pipeline(cluster) as pipeline:
        latencies = [
            Candidate(f"at {rate:,} items/s", "ms", partial(pipeline.latency, rate, plan.latency_seconds))
            for rate in plan.latencies
        ]
        waits = await run_interleaved("median latency from first byte to row", latencies, plan.rounds, cluster.say)
        sustain = partial(pipeline.sustain, plan.items_per_second, plan.sustained_seconds)
        name = f"{plan.items_per_second:,} items/s offered for {plan.sustained_seconds} s, {shares}"
        return waits + rows + await run_interleaved(group, [Candidate(name, "items/s", sustain)], 1, cluster.say)


@asynccontextmanager
async def _naive_pipeline(cluster: BenchCluster) -> AsyncIterator[NaivePipeline]:
    async with cluster.namespace("end-to-end-naive") as namespace:
        clickhouse = await asyncio.to_thread(namespace.migrate)
        await open_queue(namespace)
        await namespace.start(naive_agent(namespace))
        yield NaivePipeline(Loop(namespace, clickhouse), await start_naive_handler(namespace))
        await close_queue(namespace)


@asynccontextmanager
async def running_pipeline(cluster: BenchCluster, name: str = "end-to-end") -> AsyncIterator[Pipeline]:
    """Run all services in the namespace *name* for the duration of the block."""
    async with cluster.namespace(name) as namespace:
        clickhouse = await asyncio.to_thread(namespace.migrate)
        token = await open_project(namespace)
        await namespace.start(*namespace.services.gateways())
        for kind in ("dedupe", "persons", "sink"):
            await namespace.start_workers(kind)
        url = f"http://{HOST}:{namespace.services.settings.gateway.port}/event/batch?verbose=0"
        yield Pipeline(namespace, url, token, clickhouse)
