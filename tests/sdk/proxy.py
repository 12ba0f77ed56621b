"""A proxy before a gateway that injects faults: error statuses, closed connections and slow replies."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from aiohttp import hdrs, web
from multidict import CIMultiDict

from tests.support.proxy_servers import HttpServer

Fault = Literal["429", "503", "dropped before", "dropped after", "slow", "swallowed"]
"""A swallowed request is answered 200 and not forwarded."""

SLOW_REPLY_SECONDS = 2.5
"""Longer than the timeout of the libraries in these tests."""
_GZIP_MAGIC = b"\x1f\x8b"
_HOP_BY_HOP = {"connection", "content-length", "date", "expect", "host", "keep-alive", "server", "transfer-encoding"}
"""Headers of one connection, and those that the proxy's own server and client set."""


class FaultyProxy(HttpServer):
    """Listens before one gateway. Each fault applies to one POST, in order; None and later requests pass unchanged."""

    def __init__(
        self, gateway: str, faults: Sequence[Fault | None] = (), *, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(context=context)
        self._gateway = gateway
        self._faults = list(faults)
        self.outcomes: list[str] = []
        """For each POST, the name of the fault or the status of the gateway."""
        self.bodies: list[bytes] = []
        self.headers: Counter[str] = Counter()
        """Number of POSTs with each header, and with each `name: value` of `Content-Encoding`."""
        self.answered: set[str] = set()
        """MessageIds in the requests that the gateway answered for good: no fault, and a status below 500."""

    @property
    def address(self) -> str:
        """The URL on which it listens."""
        return f"{'http' if self._context is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def retries(self) -> int:
        """Number of requests with an item of an earlier request."""
        seen: set[str] = set()
        count = 0
        for body in self.bodies:
            ids = message_ids(items(body))
            count += not seen.isdisjoint(ids)
            seen |= ids
        return count

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.method != hdrs.METH_POST:
            return await self._forward(request, body)
        self.bodies.append(body)
        self.headers.update(request.headers.keys())
        self.headers[f"Content-Encoding: {request.headers.get('Content-Encoding')}"] += 1
        fault = self._faults.pop(0) if self._faults else None
        if fault is not None:
            self.outcomes.append(fault)
        if fault in {"429", "503"}:
            return await self._error(request, int(fault))
        if fault == "swallowed":
            return web.json_response({"success": True})
        if fault == "dropped before":
            return _drop(request)
        response = await self._forward(request, body)
        if fault == "dropped after":
            return _drop(request)
        if fault == "slow":
            await asyncio.sleep(SLOW_REPLY_SECONDS)
        else:
            self.outcomes.append(str(response.status))
            if response.status < 500:
                self.answered |= message_ids(items(body))
        return response

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        url, headers = f"{self._gateway}{request.path_qs}", _end_to_end(request.headers.items())
        skipped = [hdrs.CONTENT_TYPE, hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING]
        async with self._client.request(
            request.method, url, data=body, headers=headers, skip_auto_headers=skipped
        ) as reply:
            return web.Response(
                status=reply.status, body=await reply.read(), headers=_end_to_end(reply.headers.items())
            )

    async def _error(self, request: web.Request, status: int) -> web.Response:
        """Return an error as the gateway forms it: a page may read it if the gateway allows its origin."""
        origin = request.headers.get(hdrs.ORIGIN)
        asked = {} if origin is None else {hdrs.ORIGIN: origin}
        async with self._client.get(f"{self._gateway}/health/live", headers=asked) as reply:
            headers = CIMultiDict(
                (name, value)
                for name, value in reply.headers.items()
                if name.lower().startswith("access-control-") or name.lower() == "vary"
            )
        error = {"code": "injected", "message": "Not now.", "requestId": "injected"}
        return web.json_response(error, status=status, headers=CIMultiDict({**headers, hdrs.RETRY_AFTER: "1"}))


def items(body: bytes) -> list[dict[str, Any]]:
    """Return the items in the body of a request, compressed or not: those of its batch, or the only one.

    None if it has none, as the metrics have that the library for browsers sends about itself.
    """
    request = json.loads(gzip.decompress(body) if body.startswith(_GZIP_MAGIC) else body)
    batch: list[dict[str, Any]] = request.get("batch", [request])
    return [item for item in batch if "type" in item]


def message_ids(batch: Iterable[dict[str, Any]]) -> set[str]:
    """Return the messageIds of *batch*."""
    return {item["messageId"] for item in batch}


def _end_to_end(headers: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)


def _drop(request: web.Request) -> web.Response:
    """Close the connection without a reply; the returned response is not sent."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
