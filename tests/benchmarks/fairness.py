"""`python -m tests.benchmarks.fairness`: one project sends at ten times its rate limit, another at a low rate.

Prints the latency of the quiet project before and during the flood, and the statuses of the flood.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import aiohttp

from gateway.projects.admin import create_project, create_token, update_project
from schemas.settings import KafkaSettings
from tests.hostile.target import running_gateway
from tests.support.services import kafka_server

LIMIT_ITEMS_PER_SECOND = 2_000
TIMES_THE_LIMIT = 10
FLOOD_BATCH = 100
QUIET_BATCH = 10
QUIET_REQUESTS_PER_SECOND = 50


ITEM = {"type": "track", "event": "Ordered", "userId": "u", "properties": {"price": 42.5, "text": "x" * 100}}
BATCHES = {items: json.dumps({"batch": [ITEM] * items}).encode() for items in (QUIET_BATCH, FLOOD_BATCH)}


@dataclass
class Observed:
    """Statuses and latencies that a sender observed."""

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    def summary(self) -> str:
        """Return a one-line summary."""
        cuts = quantiles(self.milliseconds, n=100)
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms; {counts}"


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends at a constant rate, independent of status and latency."""

    url: str
    token: str
    items: int
    requests_per_second: float

    async def send(self, seconds: float) -> Observed:
        """Send for *seconds*."""
        observed = Observed()
        async with (
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self.token}"}, connector=aiohttp.TCPConnector(limit=64)
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            begun = time.perf_counter()
            for number in range(int(seconds * self.requests_per_second)):
                await asyncio.sleep(begun + number / self.requests_per_second - time.perf_counter())
                group.create_task(self._post(session, observed))
        return observed

    async def _post(self, session: aiohttp.ClientSession, observed: Observed) -> None:
        body = BATCHES[self.items]
        begun = time.perf_counter()
        async with session.post(self.url, data=body, headers={"Content-Type": "application/json"}) as reply:
            await reply.read()
            observed.statuses[reply.status] += 1
            observed.milliseconds.append((time.perf_counter() - begun) * 1000)


def flood(url: str, token: str, seconds: float) -> Observed:
    """Flood for *seconds*, in a separate process so that both senders do not share an event loop."""
    per_second = LIMIT_ITEMS_PER_SECOND * TIMES_THE_LIMIT / FLOOD_BATCH
    return asyncio.run(Sender(url, token, FLOOD_BATCH, per_second).send(seconds))


def compare(url: str, quiet_token: str, loud_token: str, seconds: float, pool: ProcessPoolExecutor) -> float:
    """Print both observations; return the ratio of the quiet project's p99 during the flood to its p99 alone."""
    quiet = Sender(url, quiet_token, QUIET_BATCH, QUIET_REQUESTS_PER_SECOND)
    asyncio.run(quiet.send(2))
    alone = asyncio.run(quiet.send(seconds))
    flooding = pool.submit(flood, url, loud_token, seconds + 2)
    time.sleep(1)
    beside = asyncio.run(quiet.send(seconds))
    times = quantiles(beside.milliseconds, n=100)[98] / quantiles(alone.milliseconds, n=100)[98]
    for name, observed in (
        ("quiet, alone", alone),
        ("quiet, during the flood", beside),
        ("the flood", flooding.result()),
    ):
        sys.stdout.write(f"{name}: {observed.summary()}\n")
    sys.stdout.write(f"p99 of the quiet project during the flood: {times:.2f} times its p99 alone\n")
    sys.stdout.flush()
    return times


async def prepare(kafka: KafkaSettings) -> str:
    """Create a project with a rate limit and return its token, once the gateway has it."""
    await create_project(kafka, "loud", "Loud")
    await update_project(kafka, "loud", items_per_second=LIMIT_ITEMS_PER_SECOND, burst=LIMIT_ITEMS_PER_SECOND)
    token = await create_token(kafka, "loud")
    await asyncio.sleep(1)
    return token


def main() -> None:
    """Run the comparison on its own broker and gateway."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fairness", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each of the two phases")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sequence-fairness-") as directory:
        place = Path(directory)
        with kafka_server(place / "kafka") as address:
            kafka = KafkaSettings(bootstrap_servers=address, topic_prefix="fairness")
            with running_gateway(kafka, place) as target:
                loud = asyncio.run(prepare(kafka))
                url = f"http://127.0.0.1:{target.port}/event/batch"
                with ProcessPoolExecutor(1) as pool:
                    for _ in range(arguments.rounds):
                        compare(url, target.token, loud, arguments.seconds, pool)


if __name__ == "__main__":
    main()
