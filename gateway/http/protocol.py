"""aiohttp's server, with what it leaves open to the patient and to the many.

Headers have to arrive in time, which aiohttp does not ask; connections are bounded, an idle one making room for a new
one; and what is not even an HTTP request is answered in the gateway's own words: aiohttp would send the parser's
message, which quotes the request, put it into the log and name its own version.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sized
from typing import Any

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.http.responses import error_response, failure, new_request_id

_FILES_FOR_THE_REST = 128
"""What the process opens beside connections of producers: those to brokers, its own files."""


class _Connection(RequestHandler):
    __slots__ = ("_body", "_head_began", "_head_timeout_seconds", "_head_timer")

    def __init__(self, *arguments: Any, head_timeout_seconds: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_timeout_seconds = head_timeout_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_began = False
        self._body: StreamReader = EMPTY_PAYLOAD
        """The body of the newest request. aiohttp parses on while it makes a request current, so it is noted here."""

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request."""
        return self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the first request its time."""
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(self._head_timeout_seconds, self._end_head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the time."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take *data*; the time of a request's headers is from their first byte, or from the connection's beginning."""
        count = self._request_count
        super().data_received(data)
        if self._request_count != count:
            self._head_began = False
            if self._head_timer is not None:
                self._stop_timer()
            for message, body in list(self._messages)[count - self._request_count :]:
                if isinstance(message, _ErrInfo):
                    self._end_body()
                else:
                    self._body = body
        elif self.is_idle:
            self._head_began = True
            if self._head_timer is None:
                self._head_timer = self._loop.call_later(self._head_timeout_seconds, self._end_head)

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
        code, told = _ERRORS.get(status, ("unexpected_error", "The gateway met an unexpected error."))
        reply = failure(status if status in _ERRORS else 503, code, told, new_request_id())
        reply.force_close()
        return reply

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send *resp*; what aiohttp refuses by itself, an expectation for example, in the form of all errors."""
        if isinstance(resp, web.HTTPException):
            resp = error_response(resp, new_request_id()) or resp
        return await super().finish_response(request, resp, start_time)

    def _end_body(self) -> None:
        """Tell the handler that waits for a body of which the parser takes no more; aiohttp would let it wait on."""
        if len(self._messages) > 2 or self._body.is_eof():
            return
        self._messages.pop()
        self._body.set_exception(web.RequestPayloadError("the body is not in the form that its headers say"))
        self._body.feed_eof()
        self.close()

    def _end_head(self) -> None:
        """The time is over: answer headers that have begun, and leave without a word where nothing came."""
        self._head_timer = None
        waiter = self._waiter
        if not self._head_began or waiter is None or waiter.done():
            self.force_close()
            return
        self._messages.append((_ErrInfo(status=408, exc=TimeoutError(), message=""), EMPTY_PAYLOAD))
        waiter.set_result(None)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


_ERRORS = {
    400: ("bad_request", "This is not a valid HTTP request."),
    408: ("headers_timeout", "The headers did not arrive in time."),
}


class Connections:
    """Those of one gateway."""

    def __init__(self) -> None:
        self._open: Sized = ()

    def count(self) -> int:
        """Return how many there are, also those that send nothing."""
        return len(self._open)

    def watch(self, connections: Sized) -> None:
        """Count *connections*, which the server changes."""
        self._open = connections


CONNECTIONS = web.AppKey("CONNECTIONS", Connections)


class _Server(web.Server):
    def __init__(
        self, *arguments: Any, head_timeout_seconds: float, most: int, connections: Connections, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        connections.watch(self._connections)
        self._head_timeout_seconds = head_timeout_seconds
        self._most = most

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, head_timeout_seconds=self._head_timeout_seconds, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take the connection; where they are too many, the oldest one that waits for a request has to go."""
        if len(self._connections) >= self._most:
            idle = (known for known in self._connections if isinstance(known, _Connection) and known.is_idle)
            next(idle, handler).force_close()
        super().connection_made(handler, transport)


class GatewayRunner(web.AppRunner):
    """Runs an application on connections of our own."""

    def __init__(
        self, app: web.Application, *, head_timeout_seconds: float, most_connections: int, **named: Any
    ) -> None:
        super().__init__(app, **named)
        self._head_timeout_seconds = head_timeout_seconds
        self._most_connections = most_connections

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            loop=asyncio.get_running_loop(),
            head_timeout_seconds=self._head_timeout_seconds,
            most=_room_for(self._most_connections),
            connections=self.app[CONNECTIONS],
            **_arguments(server),
        )


def _arguments(server: web.Server) -> dict[str, Any]:
    return server._kwargs  # noqa: SLF001  # they are handed on as they are


def _room_for(connections: int) -> int:
    """Return how many of *connections* the system lets the process have, asking for as many as may be asked for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _FILES_FOR_THE_REST
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - _FILES_FOR_THE_REST))
