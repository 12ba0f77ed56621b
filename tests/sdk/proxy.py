"""A proxy before a gateway that injects faults: error statuses, closed connections and slow replies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from aiohttp import web

from tests.support.proxy_servers import HttpServer

Fault = Literal["429", "503", "dropped before", "dropped after", "slow"]

SLOW_REPLY_SECONDS = 2.5
"""Longer than the timeout of the libraries in these tests."""
FORWARDED_HEADERS = ("Authorization", "Content-Type", "Content-Encoding")


class FaultyProxy(HttpServer):
    """Listens before one gateway. Each fault applies to one request, in order; later requests pass."""

    METHOD = "POST"

    def __init__(self, gateway: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__()
        self._gateway = gateway
        self._faults = list(faults)
        self.outcomes: list[str] = []
        """For each request, the name of the fault or the status of the gateway."""
        self.bodies: list[bytes] = []
        self.headers: Counter[str] = Counter()
        """Number of requests with each header, and with each `name: value` of `Content-Encoding`."""

    @property
    def address(self) -> str:
        """The URL on which it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.headers.update(request.headers.keys())
        self.headers[f"Content-Encoding: {request.headers.get('Content-Encoding')}"] += 1
        fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            self.outcomes.append(fault)
        if fault in {"429", "503"}:
            error = {"code": "injected", "message": "Not now."}
            return web.json_response(error, status=int(fault), headers={"Retry-After": "1"})
        if fault == "dropped before":
            return _drop(request)
        status, reply = await self._forward(request, body)
        if fault == "dropped after":
            return _drop(request)
        if fault == "slow":
            await asyncio.sleep(SLOW_REPLY_SECONDS)
        else:
            self.outcomes.append(str(status))
        return web.Response(status=status, body=reply, content_type="application/json")

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, bytes]:
        headers = {name: request.headers[name] for name in FORWARDED_HEADERS if name in request.headers}
        async with self._client.post(f"{self._gateway}{request.path_qs}", data=body, headers=headers) as reply:
            return reply.status, await reply.read()


def _drop(request: web.Request) -> web.Response:
    """Close the connection without a reply; the returned response is not sent."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
