"""A proxy before a gateway that injects faults: error statuses, closed connections and slow replies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Literal, Self

import aiohttp
from aiohttp import web

from tests.support.loop_thread import LoopThread

Fault = Literal["429", "503", "dropped before", "dropped after", "slow"]

SLOW_REPLY_SECONDS = 2.5
"""Longer than the timeout of the libraries in these tests."""
BODY_LIMIT_BYTES = 8 * 1024 * 1024
FORWARDED_HEADERS = ("Authorization", "Content-Type", "Content-Encoding")


class FaultyProxy:
    """Listens before one gateway. Each fault applies to one request, in order; later requests pass."""

    def __init__(self, gateway: str, faults: Sequence[Fault] = ()) -> None:
        self._gateway = gateway
        self._faults = list(faults)
        self._thread = LoopThread()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.address = ""
        self.outcomes: list[str] = []
        """For each request, the name of the fault or the status of the gateway."""
        self.bodies: list[bytes] = []
        self.headers: Counter[str] = Counter()
        """Number of requests with each header, and with each `name: value` of `Content-Encoding`."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._close())
        self._thread.stop()

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=BODY_LIMIT_BYTES)
        application.router.add_post("/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, auto_decompress=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _close(self) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self._session.close()

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
        assert self._session is not None
        headers = {name: request.headers[name] for name in FORWARDED_HEADERS if name in request.headers}
        async with self._session.post(f"{self._gateway}{request.path_qs}", data=body, headers=headers) as reply:
            return reply.status, await reply.read()


def _drop(request: web.Request) -> web.Response:
    """Close the connection without a reply; the returned response is not sent."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
