"""Batching does not depend on open connections: an idle keep-alive connection delays nobody.

The control uses a rule that waits while other connections could send a request, and must fail the same test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiokafka.producer.message_accumulator import BatchBuilder

from gateway.admission import MemoryBudget
from gateway.app import assemble
from gateway.http.protocol import GatewayRunner
from gateway.kafka.linger import Linger
from gateway.kafka.publisher import KafkaPublisher
from gateway.metrics import GatewayMetrics
from gateway.server import make_runner
from gateway.settings import GatewaySettings
from schemas.projects import Project
from tests.fakes.projects import MemoryProjects
from tests.integration.served import BEARER, ITEMS, REJECTED, TOKEN, track

IDLE_CONNECTIONS = 5


class InstantProducer:
    """Acknowledges every batch at once."""

    async def start(self) -> Mapping[str, int]:
        return {ITEMS: 4, REJECTED: 4, "sequence.projects.v1": 1}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(65_536, 0)

    async def deliver(self, *_: Any) -> None:
        await asyncio.sleep(0)

    async def check(self) -> None:
        pass

    async def disks(self) -> list[Any]:
        return []

    async def close(self) -> None:
        pass


class ConnectionAwareLinger(Linger):
    """Flushes when every open connection has a request waiting, at the latest after a minute."""

    def __init__(self, runner: GatewayRunner) -> None:
        super().__init__()
        self._runner = runner

    async def wait(self) -> None:
        assert self._runner.server is not None
        if len(self._runner.server.connections) > 1:
            await asyncio.sleep(60)
        await super().wait()


@asynccontextmanager
async def serving(*, connection_aware: bool) -> AsyncIterator[int]:
    """Serve the real publisher and accumulator on an instant producer; yield the port."""
    settings, metrics, budget = (
        GatewaySettings(publish_timeout_seconds=60.0),
        GatewayMetrics(),
        MemoryBudget(2**20),
    )
    publisher, projects = KafkaPublisher(settings, [ITEMS, REJECTED], metrics, budget), MemoryProjects()
    projects.add(Project("dev", "Development", 0), TOKEN)
    runner = make_runner(assemble(settings, publisher, projects, metrics, budget), settings)
    runner.drain_timeout_seconds = 0.2
    publisher._producer = InstantProducer()  # type: ignore[assignment]  # has what the publisher calls
    if connection_aware:
        publisher._linger = ConnectionAwareLinger(runner)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def send_beside_idle_connections(port: int) -> None:
    """Send requests one after another while other connections are open and idle."""
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(IDLE_CONNECTIONS)]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for _ in range(10):
                async with session.post("/b", json={"batch": [track()]}, headers=BEARER) as reply:
                    assert reply.status == 200
    finally:
        for _, writer in idle:
            writer.close()


async def test_idle_connections_do_not_delay_requests() -> None:
    async with serving(connection_aware=False) as port:
        await asyncio.wait_for(send_beside_idle_connections(port), 30)


async def test_control_with_a_connection_aware_linger_idle_connections_delay_requests() -> None:
    async with serving(connection_aware=True) as port:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_beside_idle_connections(port), 1)
