"""The gateway alone: requests to acknowledged records."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path

from deploy.local.ports import HOST
from gateway.projects.admin import create_project, create_token
from tests.benchmarks.cluster import BenchCluster, Namespace, joined, process
from tests.benchmarks.datagen import PROJECT, Feed
from tests.benchmarks.loadgen import Load, post
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

UNIT = "items/s"
_BODIES_ITEMS = 20_000
_COMPARED = (64, 100)
"""Connections and items of a batch where the gateways stand beside the obvious handler."""


@dataclass(slots=True)
class GatewayTarget:
    """Gateways of one site, or one that is not ours."""

    site: Namespace
    urls: list[str]
    token: str
    files: dict[int, Path] = field(default_factory=dict)

    async def measure(self, connections: int, items: int, seconds: int) -> Sample:
        """Post batches of *items* over *connections* for so long and count what is on the topic."""
        world, topic = self.site.world, self.site.topics.items
        before = await world.end(topic)
        async with measured(joined([self.site.pids(), world.pids()])) as usage:
            bodies, each = str(self._bodies(items)), connections // len(self.urls)
            loads = (Load(url, self.token, bodies, each, seconds) for url in self.urls)
            outcomes = await asyncio.gather(*(post(load) for load in loads))
        accepted = await world.end(topic) - before
        await self._settled()
        more = {
            "p50 ms": max(outcome.p50_ms for outcome in outcomes),
            "p99 ms": max(outcome.p99_ms for outcome in outcomes),
            "failed": float(sum(outcome.failed for outcome in outcomes)),
            "load CPU s": sum(outcome.cpu_seconds for outcome in outcomes) / len(outcomes),
        }
        return Sample(accepted / seconds, usage.per_million(accepted), usage.peak_mib, more)

    async def _settled(self) -> None:
        """Return once nothing comes any more of what was under way when the load ended: others are measured next."""
        end = -1
        while end != (end := await self.site.world.end(self.site.topics.items)):  # noqa: ASYNC110  # only asking tells
            await asyncio.sleep(0.1)

    def _bodies(self, items: int) -> Path:
        if items not in self.files:
            bodies = Feed().bodies(max(1, _BODIES_ITEMS // items), items)
            self.files[items] = Path(tempfile.mkstemp(dir=self.site.parts.state)[1])
            self.files[items].write_bytes(b"\n".join(bodies))
        return self.files[items]


async def compare(world: BenchCluster, plan: Plan) -> list[Row]:
    """One and two gateways beside the obvious handler; then with other batches and numbers of connections."""
    async with AsyncExitStack() as stack:
        naive = await _naive(world, stack)
        doors = {
            "an aiohttp handler with `send` per item": naive,
            "one gateway": await _ours(world, stack, 1),
            "two gateways": await _ours(world, stack, 2),
        }
        contenders = [
            Candidate(name, UNIT, partial(door.measure, *_COMPARED, plan.gateway_seconds))
            for name, door in doors.items()
        ]
        group = f"gateway, {_COMPARED[0]} connections, batches of {_COMPARED[1]}"
        rows = await run_interleaved(group, contenders, plan.rounds, world.say)
        grid = [
            Candidate(
                f"{name}, {number} connections, batches of {items}", UNIT, partial(door.measure, number, items, 1)
            )
            for name, door in doors.items()
            for number, items in product(plan.connections, plan.batches)
            if (number, items) != _COMPARED and (door is not naive or number == max(plan.connections))
        ]
        return rows + await run_interleaved("gateway by connections and batches", grid, plan.rounds, world.say)


async def _ours(world: BenchCluster, stack: AsyncExitStack, gateways: int) -> GatewayTarget:
    first = world.parts.settings.gateway.port + gateways
    environ = {"SEQUENCE_LOCAL_GATEWAYS": str(gateways), "SEQUENCE_GATEWAY_PORT": str(first)}
    site = await stack.enter_async_context(world.site(f"gateway-{gateways}", **environ))
    token = await open_project(site)
    await site.start(*site.parts.gateways())
    urls = [f"http://{HOST}:{first + number}/event/batch?verbose=0" for number in range(gateways)]
    return GatewayTarget(site, urls, token)


async def _naive(world: BenchCluster, stack: AsyncExitStack) -> GatewayTarget:
    site = await stack.enter_async_context(world.site("gateway-naive"))
    return GatewayTarget(site, [await start_naive_handler(site)], "none")


async def start_naive_handler(site: Namespace) -> str:
    """Start the obvious handler in front of the site's items and return where it takes batches."""
    world = site.world
    url = f"http://{HOST}:{world.parts.settings.gateway.port}"
    command = [sys.executable, "-m", "tests.benchmarks.naive_handler", world.broker, site.topics.items]
    await site.start(process("handler", [*command, url.rpartition(":")[2]], world.environ, f"{url}/health/ready"))
    return f"{url}/event/batch"


async def open_project(site: Namespace) -> str:
    """Make a project on *site* and return a token for it."""
    kafka = site.parts.kafka_settings
    await create_project(kafka, PROJECT, "Benchmark")
    return await create_token(kafka, PROJECT)
