"""A gateway without sockets: its connections, its publisher and its projects are in memory."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.admission import MemoryBudget
from gateway.app import assemble
from gateway.http.protocol import GatewayRunner, HardenedRequestHandler, _Server
from gateway.metrics import GatewayMetrics
from gateway.server import make_runner
from gateway.settings import GatewaySettings
from schemas.projects import Project
from tests.fakes.projects import MemoryProjects
from tests.fakes.publisher import MemoryPublisher

TOKEN = "seq_dev_0123456789abcdef"
TRACK = {"type": "track", "event": "Clicked", "userId": "u-1", "messageId": "m-1"}
BATCH = {"batch": [TRACK]}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Transport(asyncio.Transport):
    """A connection in memory."""

    def __init__(self, peer: str) -> None:
        super().__init__(extra={"peername": (peer, 1)})
        self.sent = b""
        self.is_reading_paused = False
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False


@dataclass
class Gateway:
    """A gateway in memory, and its parts."""

    runner: GatewayRunner
    publisher: MemoryPublisher
    metrics: GatewayMetrics
    budget: MemoryBudget

    @property
    def server(self) -> _Server:
        assert isinstance(self.runner.server, _Server)
        return self.runner.server

    async def connect(self, peer: str = "192.0.2.1") -> tuple[HardenedRequestHandler, Transport]:
        """Return a connection that waits for a request."""
        connection, transport = self.server(), Transport(peer)
        assert isinstance(connection, HardenedRequestHandler)
        connection.connection_made(transport)
        await until(lambda: connection.is_idle)
        return connection, transport

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def gateway(settings: GatewaySettings | None = None) -> AsyncIterator[Gateway]:
    settings = settings or GatewaySettings()
    publisher, projects = MemoryPublisher(), MemoryProjects()
    projects.add(Project("dev", "Development", 0, items_per_second=1000.0, burst=1000.0), TOKEN)
    projects.add(Project("off", "Disabled", 0, disabled=True), "seq_off_0123456789abcdef")
    metrics, budget = GatewayMetrics(), MemoryBudget(settings.in_flight_limit_bytes)
    runner = make_runner(assemble(settings, publisher, projects, metrics, budget), settings)
    await runner.setup()
    try:
        yield Gateway(runner, publisher, metrics, budget)
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what a transport has sent
            await asyncio.sleep(0)


def request(
    body: object = BATCH,
    *,
    method: str = "POST",
    target: str = "/event/batch",
    version: str = "1.1",
    token: str | None = TOKEN,
    **headers: str,
) -> bytes:
    """Return a request; underscores in the names of *headers* become hyphens."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = {"Host": "g", "X-Request-Id": "r-1", "Content-Length": str(len(content)), **named}
    if token is not None:
        given["Authorization"] = f"Bearer {token}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {target} HTTP/{version}\r\n{lines}\r\n".encode() + content


def messages(sent: bytes) -> list[tuple[str, set[str], bytes]]:
    """Return the responses in *sent*: status line, headers without `Date`, body."""
    found = []
    sent = sent.removeprefix(CONTINUE)
    while sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        length = next((int(line.split(": ")[1]) for line in headers if line.startswith("Content-Length")), 0)
        dates = [line for line in headers if re.fullmatch(r"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", line)]
        assert len(dates) == 1
        found.append((status, {line for line in headers if line not in dates}, rest[:length]))
        sent = rest[length:]
    return found
