"""The HTTP server of a worker: `/metrics`, `/health/live` and `/health/ready`, on a port of its own.

It runs in the worker's event loop and must never cost it much: a connection carries one request, lives a few seconds at
most, and there are few at a time. An error of a request is answered there and does not reach the worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from processors.engine.errors import MetricsPortError
from processors.engine.health import Health
from schemas.addresses import bare_host, in_url

log = logging.getLogger(__name__)

CONNECTIONS = 32
"""Connections at a time; more are closed at once."""
CONNECTION_SECONDS = 5.0
"""How long a connection may live: for one request and its response."""
BACKLOG = 16
_SILENT = logging.getLogger(f"{__name__}.requests")
"""Of aiohttp, which logs a traceback for each malformed request."""
_SILENT.setLevel(logging.CRITICAL + 1)
_HEADERS = {"Server": "sequence", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Handler = Callable[[], Awaitable[web.Response]]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host* and *port*; `MetricsPortError` says why that is not possible."""
    host = bare_host(host)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        dualstack = address[0] == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=dualstack)
    except OSError as error:
        # `create_server` adds the address to the system's text.
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise MetricsPortError(
            f"Cannot listen on {in_url(host)}:{port} (SEQUENCE_WORKER_METRICS_HOST, SEQUENCE_WORKER_METRICS_PORT): "
            f"{reason}. Stop the process that uses the port, or set another address or port."
        ) from error


class StatusServer:
    """Serves the metrics and the health of one worker on the socket of `listen`."""

    def __init__(self, listening: socket.socket, health: Health, metrics: Callable[[], Awaitable[bytes]]) -> None:
        self._listening = listening
        self._health = health
        self._metrics = metrics
        self._handlers: Mapping[str, Handler] = {
            "/metrics": self._answer_metrics,
            "/health/live": self._answer_live,
            "/health/ready": self._answer_ready,
        }
        self._http: web.Server | None = None
        self._server: asyncio.AbstractServer | None = None

    @property
    def address(self) -> str:
        """Host and port of the socket, as in a URL."""
        host, port = self._listening.getsockname()[:2]
        return f"{in_url(host)}:{port}"

    async def start(self) -> None:
        """Answer from now on."""
        loop = asyncio.get_running_loop()
        self._http = http = web.Server(self._handle, access_log=None, logger=_SILENT)
        self._server = await loop.create_server(partial(self._accept, http), sock=self._listening, backlog=BACKLOG)
        log.info("metrics and health: http://%s", self.address)

    async def stop(self) -> None:
        """Close the socket and all connections."""
        if self._server is not None and self._http is not None:
            self._server.close()
            await self._http.shutdown(timeout=0)

    def _accept(self, http: web.Server) -> asyncio.BaseProtocol:
        if len(http.connections) >= CONNECTIONS:
            return _Refused()
        connection = http()
        asyncio.get_running_loop().call_later(CONNECTION_SECONDS, _abort, connection)
        return connection

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        handler = self._handlers.get(request.path)
        try:
            if handler is None:
                response = _json(404, "not_found", f"Only {', '.join(self._handlers)} exist here.")
            elif request.method not in {"GET", "HEAD"}:
                response = _json(405, "method_not_allowed", "Use GET.", {"Allow": "GET, HEAD"})
            else:
                response = await handler()
        except Exception:
            log.exception("cannot answer %s", request.path)
            response = _json(500, "unexpected_error", "The log of the worker has the cause.")
        response.force_close()
        return response

    async def _answer_metrics(self) -> web.Response:
        return web.Response(body=await self._metrics(), headers={"Content-Type": _METRICS_TYPE, **_HEADERS})

    async def _answer_live(self) -> web.Response:
        return _json(200, "alive")

    async def _answer_ready(self) -> web.Response:
        unready = self._health.unready()
        return _json(200, "ready") if unready is None else _json(503, unready.status, unready.message)


def _abort(connection: web.RequestHandler) -> None:
    """Close *connection*, if it is open, without waiting for a client that does not read."""
    transport = connection.transport
    connection.force_close()
    if transport is not None:
        transport.abort()


class _Refused(asyncio.Protocol):
    """Closes its connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _json(status: int, name: str, message: str = "", headers: Mapping[str, str] | None = None) -> web.Response:
    content: dict[str, Any] = {"status": name, "message": message} if message else {"status": name}
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        headers={"Content-Type": "application/json", **_HEADERS, **(headers or {})},
    )
