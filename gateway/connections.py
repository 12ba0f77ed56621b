"""aiohttp's server, answering in the gateway's own words what is not even an HTTP request.

aiohttp would send the parser's message, which quotes the request, put it into the log and name its own version.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway.replies import failure, new_request_id


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002  # aiohttp's signature
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Answer *request*, of which not even the headers could be read."""
        if request.writer.output_size > 0:
            raise ConnectionError("a reply has begun already")
        if status == 400:
            reply = failure(400, "bad_request", "This is not a valid HTTP request.", new_request_id())
        else:
            reply = failure(503, "unexpected_error", "The gateway met an unexpected error.", new_request_id())
        reply.force_close()
        return reply


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class GatewayRunner(web.AppRunner):
    """Runs an application on connections of our own."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            loop=asyncio.get_running_loop(),
            **_arguments(server),
        )


def _arguments(server: web.Server) -> dict[str, Any]:
    return server._kwargs  # noqa: SLF001  # they are handed on as they are
