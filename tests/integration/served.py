"""A gateway on loopback, with a publisher and projects in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from gateway import disk
from gateway.admission import MemoryBudget
from gateway.app import assemble
from gateway.http.listener import make_site
from gateway.metrics import GatewayMetrics
from gateway.server import make_runner
from gateway.settings import GatewaySettings
from schemas.projects import Project
from tests.fakes.projects import MemoryProjects
from tests.fakes.publisher import MemoryPublisher

TOKEN = "seq_dev_0123456789abcdef"
OTHER_TOKEN = "seq_other_0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
ITEMS = "sequence.items.v1"
REJECTED = "sequence.rejected.v1"


@dataclass
class Answer:
    """A response, read completely."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """The gateway and its parts."""

    port: int
    session: aiohttp.ClientSession
    publisher: MemoryPublisher
    projects: MemoryProjects
    metrics: GatewayMetrics
    budget: MemoryBudget
    app: web.Application
    headers: dict[str, str] = field(default_factory=lambda: dict(BEARER))

    async def post(
        self, path: str, body: object, *, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Answer:
        """Send *body*, encoded as JSON unless it is bytes; *headers* replace those with the token."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = self.headers if headers is None else headers
        url = f"http://127.0.0.1:{self.port}{path}"
        skipped = [] if "Content-Type" in sent else ["Content-Type"]
        async with self.session.request(method, url, data=data, headers=sent, skip_auto_headers=skipped) as reply:
            return Answer(reply.status, CIMultiDict(reply.headers), await reply.read())

    async def get(self, path: str) -> Answer:
        """Fetch *path* without a token."""
        return await self.post(path, None, headers={}, method="GET")

    def written(self, topic: str = ITEMS) -> list[Any]:
        """Return the decoded values on *topic*."""
        return [json.loads(value) for _, value in self.publisher.records(topic)]


@asynccontextmanager
async def serving(
    settings: GatewaySettings | None = None, *, answers: Sequence[disk.Answer] = ()
) -> AsyncIterator[Served]:
    """Serve on a free port, with the projects `dev` and `other`; *answers* are what brokers tell of their disks."""
    settings = replace(settings or GatewaySettings(), port=0)
    publisher = MemoryPublisher(publish_timeout_seconds=settings.publish_timeout_seconds)
    publisher.answers = list(answers) or publisher.answers
    projects = MemoryProjects()
    projects.add(Project("dev", "Development", 0), TOKEN)
    projects.add(Project("other", "Other", 0), OTHER_TOKEN)
    metrics, budget = GatewayMetrics(), MemoryBudget(settings.in_flight_limit_bytes)
    app = assemble(settings, publisher, projects, metrics, budget)
    runner = make_runner(app, settings)
    await runner.setup()
    await make_site(runner, settings).start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Served(runner.addresses[0][1], session, publisher, projects, metrics, budget, app)
    finally:
        await runner.cleanup()


def track(**fields: object) -> dict[str, object]:
    """Return a track item."""
    return {"type": "track", "event": "Clicked", "userId": "u-1", **fields}


def identify(**fields: object) -> dict[str, object]:
    """Return an identify item."""
    return {"type": "identify", "userId": "u-1", **fields}
