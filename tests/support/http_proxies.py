"""Proxies as companies have them: a reverse proxy before ClickHouse, and a forward proxy of HTTP_PROXY."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Self

import aiohttp
from aiohttp import web

from tests.support.loop_thread import LoopThread

_HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})


class ReverseProxy:
    """Serves *upstream* under *prefix* of *host*, with TLS if it has a *context*. Every other path gets 404."""

    def __init__(
        self, upstream: str, prefix: str = "/", context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
    ) -> None:
        self._upstream = upstream
        self._prefix = prefix
        self._context = context
        self._host = host
        self._thread = LoopThread()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.requests = 0
        """Number of requests below the prefix."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._close())
        self._thread.stop()

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, auto_decompress=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, 0, ssl_context=self._context).start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        assert self._runner is not None
        assert self._session is not None
        server = self._runner.server
        transports = [connection.transport for connection in server.connections] if server else []
        await self._runner.cleanup()
        await self._session.close()
        for transport in transports:
            # With TLS, `close` waits for the client, which may keep its connection open.
            if transport is not None:
                transport.abort()

    async def _serve(self, request: web.Request) -> web.Response:
        if request.path != self._prefix:
            return web.Response(status=404, text="the reverse proxy has nothing here")
        assert self._session is not None
        self.requests += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = f"{self._upstream}/?{request.rel_url.raw_query_string}"
        async with self._session.request(
            request.method, url, data=await request.read(), headers=headers, skip_auto_headers=["Content-Type"]
        ) as reply:
            kept = {name: value for name, value in reply.headers.items() if name.lower() not in _HOP_BY_HOP}
            return web.Response(status=reply.status, body=await reply.read(), headers=kept)


class ForwardProxy:
    """Passes every request to *port* of this machine, whatever host it names; without a port it answers 502."""

    def __init__(self, port: int | None = None) -> None:
        self._port = port
        self._thread = LoopThread()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.address = ""
        self.heads: list[str] = []
        """First request of each connection: its line and headers."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._thread.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._close())
        self._thread.stop()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        # A connection that was accepted has its transport, and its task has begun, some iterations later.
        for _ in range(10):
            await asyncio.sleep(0)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._writers:
            # Unlike `close`, this does not wait until what was written is sent.
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The end of the test cancels connections that the client keeps open.
        self._writers.append(writer)
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            if self._port is None:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers.append(up_writer)
            with contextlib.closing(up_writer):
                if head.startswith(b"CONNECT "):
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    up_writer.write(head)
                await asyncio.gather(_pipe(reader, up_writer), _pipe(up_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof() if writer.can_write_eof() else writer.close()
