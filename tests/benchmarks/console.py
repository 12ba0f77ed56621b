"""The console beside the whole pipeline: what open pages cost it, at a rate that uses every core.

A page makes the requests of the real one: a stream of live items, or its queries at its intervals. All pages are of an
operator, who sees every project.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import aiohttp

from deploy.local.supervisor import Service
from gateway.projects.admin import create_token
from tests.benchmarks.cluster import BenchCluster, Namespace
from tests.benchmarks.end_to_end import Pipeline, running_pipeline
from tests.benchmarks.errors import BenchError
from tests.benchmarks.plan import Plan
from tests.benchmarks.results import Row, Sample
from tests.benchmarks.rounds import Candidate, run_interleaved

PAGES = 20
_POLLED = (("/api/rates?since=1h", 10.0), ("/api/status", 5.0), ("/api/rejected?since=24h", 15.0))
_LIVE = ("/api/live", "/api/live?project=bench&verdict=duplicate")
_SECONDS = 30
_ROUNDS = 3


class OpenPages:
    """Pages of one console."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self.items = 0
        """Live items that arrived."""
        self.replies = 0
        """Replies to queries."""

    @asynccontextmanager
    async def open(self, count: int) -> AsyncIterator[None]:
        """Keep *count* pages open for the block: two of three show live items, the others one view each."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:
            work = [
                self._poll(session, *_POLLED[number // 3 % len(_POLLED)])
                if number % 3 == 2
                else self._live(session, _LIVE[number % 2])
                for number in range(count)
            ]
            tasks = [asyncio.create_task(each) for each in work]
            try:
                yield
            finally:
                ended = [task for task in tasks if task.done()]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()
        if ended:
            raise BenchError("A live stream of the console ended.")

    async def _live(self, session: aiohttp.ClientSession, path: str) -> None:
        async with session.get(f"{self._url}{path}") as response:
            response.raise_for_status()
            async for line in response.content:
                self.items += line == b"event: item\n"

    async def _poll(self, session: aiohttp.ClientSession, path: str, seconds: float) -> None:
        while True:
            async with session.get(f"{self._url}{path}") as response:
                response.raise_for_status()
                await response.read()
            self.replies += 1
            await asyncio.sleep(seconds)


async def compare(cluster: BenchCluster, plan: Plan) -> list[Row]:
    """Compare the sustained rate with no page and with open pages."""
    # The embedded server lets `analyst` read the databases whose names begin so.
    async with running_pipeline(cluster, "sequence-console") as pipeline:
        namespace = pipeline.namespace
        await namespace.start(_console(namespace))
        token = await create_token(namespace.services.kafka_settings, "", scope="operate")
        seconds = min(_SECONDS, plan.sustained_seconds)
        await pipeline.sustain(plan.items_per_second, min(5, seconds))  # A JVM that has just started compiles.
        candidates = [
            Candidate(f"{pages} pages", "items/s", partial(_sustain, pipeline, token, pages, (plan, seconds)))
            for pages in (0, PAGES)
        ]
        return await run_interleaved("open pages of the console", candidates, min(_ROUNDS, plan.rounds), cluster.say)


def _console(namespace: Namespace) -> Service:
    """Return the console as one of a deployment: the servers are not those of a local stack."""
    service, parts = namespace.services.console(), namespace.services
    servers = {
        "SEQUENCE_CLICKHOUSE_URL": parts.clickhouse_settings.url,
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": parts.settings.embedded_clickhouse.analyst_password,
    }
    return replace(service, environ={**service.environ, **servers})


async def _sustain(pipeline: Pipeline, token: str, count: int, size: tuple[Plan, int]) -> Sample:
    plan, seconds = size
    pages = OpenPages(pipeline.namespace.services.console_url, token)
    async with pages.open(count):
        sample = await pipeline.sustain(plan.items_per_second, seconds)
    if count and not (pages.items and pages.replies):
        raise BenchError("The pages showed nothing.")
    return Sample(
        sample.value,
        sample.cpu_seconds,
        sample.peak_mib,
        {**sample.more, "live items": float(pages.items), "replies": float(pages.replies)},
    )
