"""A console on loopback, with projects in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from deploy.console.app import Place, assemble
from deploy.console.metrics import ConsoleMetrics
from deploy.console.server import make_runner
from deploy.console.settings import ConsoleSettings
from deploy.operate.servers import Servers
from schemas.settings import ClickHouseSettings, KafkaSettings
from tests.fakes.console_projects import ConsoleProjects
from tests.support.proxy_servers import ThreadedServer

NOWHERE = Servers(
    KafkaSettings(bootstrap_servers="127.0.0.1:1"),
    ClickHouseSettings("http://127.0.0.1:1", "analyst", "secret"),
    is_local=False,
)
"""Servers that do not answer."""


@dataclass
class Reply:
    """A response, read completely."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Console:
    """The console and its tokens."""

    port: int
    session: aiohttp.ClientSession
    projects: ConsoleProjects
    metrics: ConsoleMetrics
    app: web.Application

    async def get(
        self, path: str, token: str | None = None, *, method: str = "GET", data: Any = None, **headers: str
    ) -> Reply:
        """Send a request with *token*."""
        sent = headers if token is None else {"Authorization": f"Bearer {token}", **headers}
        sent = {name.replace("_", "-"): value for name, value in sent.items()}
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=sent, data=data, allow_redirects=False) as reply:
            cookies = {name: cookie.OutputString() for name, cookie in reply.cookies.items()}
            return Reply(reply.status, CIMultiDict(reply.headers), await reply.read(), cookies)

    async def send(self, request: bytes) -> bytes:
        """Send bytes as they are, and return the beginning of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(65_536), 20)
        writer.close()
        return answer

    async def log_in(self, token: str, **headers: str) -> Reply:
        """Exchange *token* for a cookie."""
        body = json.dumps({"token": token}).encode()
        return await self.get("/api/session", method="POST", data=body, Content_Type="application/json", **headers)


@asynccontextmanager
async def console(servers: Servers = NOWHERE, settings: ConsoleSettings | None = None) -> AsyncIterator[Console]:
    """Serve on a free port."""
    projects, metrics = ConsoleProjects(), ConsoleMetrics()
    app: web.Application = assemble(settings or ConsoleSettings(), Place(servers, None, {}), projects, metrics)
    runner = make_runner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Console(runner.addresses[0][1], session, projects, metrics, app)
    finally:
        await runner.cleanup()


class ThreadedConsole(ThreadedServer):
    """The console beside synchronous tests, such as those in Chromium."""

    def __init__(self, servers: Servers = NOWHERE, settings: ConsoleSettings | None = None) -> None:
        super().__init__()
        self._serving = console(servers, settings)
        self.operate_token = ""

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    async def _open(self) -> None:
        served = await self._serving.__aenter__()
        self.port, self.operate_token = served.port, served.projects.operate

    async def _close(self) -> None:
        await self._serving.__aexit__(None, None, None)
