"""Bases of the tests' proxies: each listens on one address, with an event loop in a thread, for a `with` block."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from typing import Self

import aiohttp
from aiohttp import web

from tests.support.loop_thread import LoopThread

_BODY_LIMIT_BYTES = 64 * 1024 * 1024


class ThreadedServer(ABC):
    """Starts with the block and stops at its end."""

    def __init__(self) -> None:
        self._thread = LoopThread()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._close())
        self._thread.stop()

    @abstractmethod
    async def _open(self) -> None:
        """Listen, and set `port`."""

    @abstractmethod
    async def _close(self) -> None:
        """Close every connection."""


class StreamServer(ThreadedServer):
    """Serves each connection as two streams."""

    def __init__(self) -> None:
        super().__init__()
        self._server: asyncio.Server | None = None

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""


class HttpServer(ThreadedServer):
    """Serves each request with aiohttp, with TLS if it has a *context*. `_client` forwards requests."""

    METHOD = "*"
    """What it accepts; other methods get 405."""

    def __init__(self, *, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._host = host
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    @property
    def _client(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=_BODY_LIMIT_BYTES)
        application.router.add_route(self.METHOD, "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, auto_decompress=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, 0, ssl_context=self._context).start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        assert self._runner is not None
        server = self._runner.server
        transports = [connection.transport for connection in server.connections] if server else []
        await self._runner.cleanup()
        await self._client.close()
        for transport in transports:
            # With TLS, `close` waits for the client, which may keep its connection open.
            if transport is not None:
                transport.abort()

    @abstractmethod
    async def _serve(self, request: web.Request) -> web.Response:
        """Answer one request."""
