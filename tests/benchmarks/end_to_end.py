"""Everything at once: requests in, rows that a query sees."""

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
from tests.benchmarks.cluster import BenchCluster, Namespace, joined, until
from tests.benchmarks.datagen import Feed
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
    """All parts of one site."""

    site: Namespace
    url: str
    token: str
    clickhouse: ClickHouse
    feed: Feed = field(default_factory=Feed)
    probes: int = 0
    """How many items were posted that `feed` has not made."""

    async def sustain(self, items_per_second: int, seconds: int) -> Sample:
        """Offer items for so long, 10 % of them repeats and 5 % identifies; wait until each is a row, once."""
        world = self.site.world
        bodies = self.feed.bodies(items_per_second * seconds // _BATCH, _BATCH, duplicates=0.1, identifies=0.05)
        began = perf_counter()
        async with measured(joined([self.site.pids(), world.pids()])) as usage:
            outcome = await self._load(bodies, items_per_second, seconds)
            loaded = perf_counter() - began
            await self._complete(120 + 5 * seconds)
            took = perf_counter() - began
        offered = len(bodies) * _BATCH
        more = {
            "offered for s": loaded,
            "last row after s": took - loaded,
            "failed requests": float(outcome.failed),
            "rows too many": float(await self.rows() - self._due),
            "request p99 ms": outcome.p99_ms,
            "load CPU s": outcome.cpu_seconds,
        }
        return Sample(offered / took, usage.per_million(offered), usage.peak_mib, more)

    async def latency(self, items_per_second: int, seconds: int) -> Sample:
        """Offer items at a rate, and time single ones among them from before their request until a query sees them."""
        bodies = self.feed.bodies(items_per_second * seconds // _BATCH, _BATCH)
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
        """Return how many items are rows."""
        return int((await asyncio.to_thread(self.clickhouse.query, _COUNT))[0]["n"])

    @property
    def _due(self) -> int:
        return self.feed.made + self.probes

    async def _complete(self, seconds: float) -> None:
        """Return when each item is a row."""

        async def complete() -> bool:
            return await self.rows() >= self._due

        await until(complete, f"{self._due} rows", seconds=seconds, every_seconds=0.1)

    async def _load(self, bodies: list[bytes], items_per_second: int, seconds: int) -> Outcome:
        """Post all of *bodies*, which are due within *seconds*: one that is late is posted, too, and becomes rows."""
        with _written(bodies, self.site) as file:
            return await paced(Load(self.url, self.token, file, _CONNECTIONS, 20 * seconds, items_per_second / _BATCH))


class Probes:
    """Single items, each timed from before its request until a query sees it."""

    def __init__(self, url: str, token: str, clickhouse: ClickHouse) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._clickhouse = clickhouse
        self._mark = secrets.token_hex(6)
        self._sent: dict[str, float] = {}
        self._waits: list[float] = []

    async def run(self, seconds: float) -> list[float]:
        """Send probes for so long and return their milliseconds, sorted."""
        count = int(seconds * _PROBES_PER_SECOND)
        looking = asyncio.create_task(self._look(count))
        async with aiohttp.ClientSession(headers=self._headers) as session, asyncio.TaskGroup() as sending:
            for number in range(count):
                sending.create_task(self._send(session, f"{self._mark}-{number}"))
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
    """The obvious handler, the obvious agent, and the engine's own Kafka table in a loop."""

    loop: Loop
    url: str

    async def drain(self, items: int) -> Sample:
        """Post *items*, 10 % of them repeats and 5 % identifies, and move them until each is a row."""
        site, feed = self.loop.site, self.loop.feed
        due = await self.loop.rows() + 1
        await self._post(feed.bodies(1, 1))
        await self.loop.fill(due)
        made = feed.made
        bodies = feed.bodies(items // _BATCH, _BATCH, duplicates=0.1, identifies=0.05)
        due += feed.made - made
        began = perf_counter()
        async with measured(joined([site.pids(), site.world.pids()])) as usage:
            posting = asyncio.create_task(self._post(bodies))
            async with asyncio.timeout(300):
                await self.loop.fill(due)
            took = perf_counter() - began
        await posting
        return Sample(items / took, usage.per_million(items), usage.peak_mib)

    async def _post(self, bodies: list[bytes]) -> None:
        with _written(bodies, self.loop.site) as file:
            await paced(Load(self.url, "none", file, _CONNECTIONS, 120, NAIVE_ITEMS / _BATCH))


@contextmanager
def _written(bodies: list[bytes], site: Namespace) -> Iterator[str]:
    """Yield the name of a file with *bodies*, one on each line, as a load reads them."""
    with tempfile.NamedTemporaryFile(dir=site.parts.state) as file:
        file.write(b"\n".join(bodies))
        file.flush()
        yield file.name


async def compare(world: BenchCluster, plan: Plan) -> list[Row]:
    """The obvious pipeline; then ours: from a request's first byte to its row at different rates, and what it sustains.

    What is sustained is measured once, since it takes a minute, and last: a broker that has just started spends as much
    on compiling itself as on records.
    """
    group, chances = "everything at once", "10 % repeats, 5 % identifies"
    async with _naive_pipeline(world) as obvious:
        contender = Candidate(f"the obvious pipeline, {chances}", "items/s", partial(obvious.drain, NAIVE_ITEMS))
        rows = await run_interleaved(group, [contender], 1, world.say)
    async with running_pipeline(world) as pipeline:
        latencies = [
            Candidate(f"at {rate:,} items/s", "ms", partial(pipeline.latency, rate, plan.latency_seconds))
            for rate in plan.latencies
        ]
        waits = await run_interleaved("median from first byte to row", latencies, plan.rounds, world.say)
        sustain = partial(pipeline.sustain, plan.items_per_second, plan.sustained_seconds)
        name = f"{plan.items_per_second:,} items/s offered for {plan.sustained_seconds} s, {chances}"
        return waits + rows + await run_interleaved(group, [Candidate(name, "items/s", sustain)], 1, world.say)


@asynccontextmanager
async def _naive_pipeline(world: BenchCluster) -> AsyncIterator[NaivePipeline]:
    async with world.site("whole-obvious") as site:
        clickhouse = await asyncio.to_thread(site.migrate)
        await open_queue(site)
        await site.start(naive_agent(site))
        yield NaivePipeline(Loop(site, clickhouse), await start_naive_handler(site))
        await close_queue(site)


@asynccontextmanager
async def running_pipeline(world: BenchCluster) -> AsyncIterator[Pipeline]:
    """Run all parts on a site of their own for the block."""
    async with world.site("whole") as site:
        clickhouse = await asyncio.to_thread(site.migrate)
        token = await open_project(site)
        await site.start(*site.parts.gateways())
        for kind in ("dedupe", "persons", "sink"):
            await site.start_workers(kind)
        url = f"http://{HOST}:{site.parts.settings.gateway.port}/event/batch?verbose=0"
        yield Pipeline(site, url, token, clickhouse)
