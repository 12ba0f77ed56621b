"""The gateway alone: from requests to acknowledged records."""

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
from tests.benchmarks.cluster import BenchCluster, Namespace, merged, process
from tests.benchmarks.datagen import PROJECT, ItemGenerator
from tests.benchmarks.loadgen import Load, paced, post
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved
from tests.benchmarks.usage import measured

UNIT = "items/s"
_BODIES_ITEMS = 30_000
_COMPARED = ((64, 100), (64, 1))
"""Connections and items per batch of the main comparisons."""
_PACED_PER_SECOND = 3_000.0
"""Requests per second of the comparison of latencies. Each body is posted once, so there must be enough of them."""


@dataclass(slots=True)
class GatewayTarget:
    """The gateways of one namespace, or an alternative to them."""

    namespace: Namespace
    urls: list[str]
    token: str
    files: dict[int, Path] = field(default_factory=dict)

    async def measure(self, connections: int, items: int, seconds: int, per_second: float = 0.0) -> Sample:
        """Post batches of *items* over *connections* for *seconds*; count the records on `items.v1`.

        *per_second* is the number of requests; 0 is as fast as they are answered.
        """
        cluster, topic = self.namespace.cluster, self.namespace.topics.items
        before = await cluster.end(topic)
        async with measured(merged([self.namespace.pids(), cluster.pids()])) as usage:
            bodies, each = str(self._bodies(items)), connections // len(self.urls)
            rate, send = per_second / len(self.urls), paced if per_second else post
            loads = (Load(url, self.token, bodies, each, seconds, rate) for url in self.urls)
            outcomes = await asyncio.gather(*(send(load) for load in loads))
        accepted = await cluster.end(topic) - before
        await self._settled()
        more = {
            "p50 ms": max(outcome.p50_ms for outcome in outcomes),
            "p99 ms": max(outcome.p99_ms for outcome in outcomes),
            "failed": float(sum(outcome.failed for outcome in outcomes)),
            "load CPU s": sum(outcome.cpu_seconds for outcome in outcomes) / len(outcomes),
        }
        return Sample(accepted / seconds, usage.per_million(accepted), usage.peak_mib, more)

    async def _settled(self) -> None:
        """Wait until the topic stops growing, so that in-flight requests do not disturb the next measurement."""
        end = -1
        while end != (end := await self.namespace.cluster.end(self.namespace.topics.items)):  # noqa: ASYNC110  # Kafka offers no event for this
            await asyncio.sleep(0.1)

    def _bodies(self, items: int) -> Path:
        if items not in self.files:
            bodies = ItemGenerator().bodies(max(1, _BODIES_ITEMS // items), items)
            self.files[items] = Path(tempfile.mkstemp(dir=self.namespace.services.state)[1])
            self.files[items].write_bytes(b"\n".join(bodies))
        return self.files[items]


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare one and two gateways with the naive handler; then vary batch size and connections.

    Of single items, latency is compared at a fixed rate as well.
    """
    async with AsyncExitStack() as stack:
        naive = await _naive(cluster, stack)
        targets = {
            "an aiohttp handler with `send` per item": naive,
            "one gateway": await _ours(cluster, stack, 1),
            "two gateways": await _ours(cluster, stack, 2),
        }
        rows: list[Row] = []
        for compared in _COMPARED:
            group = f"gateway, {compared[0]} connections, batches of {compared[1]}"
            candidates = _candidates(targets, compared, plan.gateway_seconds)
            rows += await run_interleaved(group, candidates, plan.rounds, cluster.say)
        paced_candidates = _candidates(targets, _COMPARED[-1], plan.gateway_seconds, _PACED_PER_SECOND)
        group = f"gateway, {_PACED_PER_SECOND:,.0f} single items a second"
        rows += await run_interleaved(group, paced_candidates, plan.rounds, cluster.say)
        grid = [
            Candidate(
                f"{name}, {number} connections, batches of {items}", UNIT, partial(target.measure, number, items, 1)
            )
            for name, target in targets.items()
            for number, items in product(plan.connections, plan.batches)
            if (number, items) not in _COMPARED and (target is not naive or number == max(plan.connections))
        ]
        return rows + await run_interleaved("gateway by connections and batches", grid, plan.rounds, cluster.say)


def _candidates(
    targets: dict[str, GatewayTarget], compared: tuple[int, int], seconds: int, per_second: float = 0.0
) -> list[Candidate]:
    return [
        Candidate(name, UNIT, partial(target.measure, *compared, seconds, per_second))
        for name, target in targets.items()
    ]


async def _ours(cluster: BenchCluster, stack: AsyncExitStack, gateways: int) -> GatewayTarget:
    first = cluster.services.settings.gateway.port + gateways
    environ = {"SEQUENCE_LOCAL_GATEWAYS": str(gateways), "SEQUENCE_GATEWAY_PORT": str(first)}
    namespace = await stack.enter_async_context(cluster.namespace(f"gateway-{gateways}", **environ))
    token = await open_project(namespace)
    await namespace.start(*namespace.services.gateways())
    urls = [f"http://{HOST}:{first + number}/event/batch?verbose=0" for number in range(gateways)]
    return GatewayTarget(namespace, urls, token)


async def _naive(cluster: BenchCluster, stack: AsyncExitStack) -> GatewayTarget:
    namespace = await stack.enter_async_context(cluster.namespace("gateway-naive"))
    return GatewayTarget(namespace, [await start_naive_handler(namespace)], "none")


async def start_naive_handler(namespace: Namespace) -> str:
    """Start the naive handler for `items.v1` of *namespace* and return its batch URL."""
    cluster = namespace.cluster
    url = f"http://{HOST}:{cluster.services.settings.gateway.port}"
    command = [sys.executable, "-m", "tests.benchmarks.naive_handler", cluster.broker, namespace.topics.items]
    await namespace.start(
        process("handler", [*command, url.rpartition(":")[2]], cluster.environ, f"{url}/health/ready")
    )
    return f"{url}/event/batch"


async def open_project(namespace: Namespace) -> str:
    """Create a project in *namespace* and return a token for it."""
    kafka = namespace.services.kafka_settings
    await create_project(kafka, PROJECT, "Benchmark")
    return await create_token(kafka, PROJECT)
