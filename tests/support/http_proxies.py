"""Proxies as companies have them: a reverse proxy before ClickHouse, and a forward proxy of HTTP_PROXY."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from aiohttp import web

from tests.support.proxy_servers import HttpServer, StreamServer

_HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})


class ReverseProxy(HttpServer):
    """Serves *upstream* under *prefix* of *host*, with TLS if it has a *context*. Every other path gets 404."""

    def __init__(
        self, upstream: str, prefix: str = "/", context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
    ) -> None:
        super().__init__(host=host, context=context)
        self._upstream = upstream
        self._prefix = prefix
        self.requests = 0
        """Number of requests below the prefix."""

    async def _serve(self, request: web.Request) -> web.Response:
        if request.path != self._prefix:
            return web.Response(status=404, text="the reverse proxy has nothing here")
        self.requests += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = f"{self._upstream}/?{request.rel_url.raw_query_string}"
        async with self._client.request(
            request.method, url, data=await request.read(), headers=headers, skip_auto_headers=["Content-Type"]
        ) as reply:
            kept = {name: value for name, value in reply.headers.items() if name.lower() not in _HOP_BY_HOP}
            return web.Response(status=reply.status, body=await reply.read(), headers=kept)


class ForwardProxy(StreamServer):
    """Passes every request to *port* of this machine, whatever host it names; without a port it answers 502."""

    def __init__(self, port: int | None = None) -> None:
        super().__init__()
        self._upstream = port
        self.heads: list[str] = []
        """First request of each connection: its line and headers."""

    @property
    def address(self) -> str:
        """The host and port on which it listens."""
        return f"127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The end of the test cancels connections that the client keeps open.
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError), contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            if self._upstream is None:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
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
