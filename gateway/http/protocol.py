"""Hardens aiohttp's server: header timeout, connection limit, JSON responses for malformed requests, bounded shutdown.

Complete requests are offered to `gateway.http.direct` before aiohttp's task wakes for them.

aiohttp has no header timeout and leaves connection limits to a proxy (https://github.com/aio-libs/aiohttp/issues/675).
Its own response to a malformed request quotes the request, logs it and names aiohttp's version.

This module alone uses private names of aiohttp. Each has a canary test in `tests/unit/gateway/http/test_protocol.py`,
which says what to do when an upgrade of aiohttp breaks it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiohttp import hdrs, web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.errors import HttpError, from_status
from gateway.http.direct import DirectHandler
from gateway.http.listener import allowed_connections
from gateway.http.request_id import identified, request_id_of
from gateway.http.responses import Reply, as_http_error, encode_response, error_response
from gateway.shutdown import CANCEL_SECONDS

log = logging.getLogger(__name__)


class HardenedRequestHandler(RequestHandler):
    """One connection. The header timeout starts with the connection, then with the first byte of each request."""

    __slots__ = ("_body", "_head_started", "_head_timeout_seconds", "_head_timer", "_held", "_is_direct", "_server")

    def __init__(self, server: _Server, *, head_timeout_seconds: float, **named: Any) -> None:
        super().__init__(server, **named)
        self._server = server
        self._head_timeout_seconds = head_timeout_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_started = False
        self._body: StreamReader = EMPTY_PAYLOAD
        """Body of the newest request. aiohttp parses ahead of the request that it handles, so it is kept here."""
        self._is_direct = False
        """Whether a request is handled without aiohttp's task, which waits meanwhile as if there were none."""
        self._held = b""  # what arrived during that request

    @property
    def is_idle(self) -> bool:
        """Whether the connection waits for a request."""
        return self._waiter is not None and not self._waiter.done() and not self._is_direct

    @property
    def remote(self) -> str | None:
        """The peer's address."""
        return self.peername[0] if isinstance(self.peername, tuple) else self.peername

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that handles the requests; None after the last one."""
        return self._task_handler

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the header timeout of the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the header timeout."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse *data*; stop the header timeout when headers are complete, start it when the next ones begin."""
        if self._is_direct and self.transport is not None:
            self._held += data
            self.transport.pause_reading()
            return
        count, waiter = self._request_count, self._waiter
        self._waiter = None  # hidden from aiohttp, which would wake its task for a request that is handled directly
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if self._request_count != count:
            self._head_started = False
            self._stop_timer()
            if waiter is not None and not waiter.done():
                if self._begin_direct():
                    return
                waiter.set_result(None)
            for message, body in list(self._messages)[count - self._request_count :]:
                if isinstance(message, _ErrInfo):
                    self._fail_body()
                else:
                    self._body = body
        elif self.is_idle:
            self._head_started = True
            if self._head_timer is None:
                self._start_timer()

    def respond(self, reply: Reply, headers: Mapping[str, str]) -> None:
        """Send the response to the request that was handled directly, and continue as aiohttp does after a response."""
        self._is_direct = False
        if self.transport is None or self.transport.is_closing():
            return
        if self._server.is_draining:
            headers = {**headers, hdrs.CONNECTION: "close"}
            self._close = True
        self.transport.write(encode_response(reply, headers))
        if self._close:
            self.close()
            self.transport.close()
        elif not self._force_close:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            if self._held and not self.transport.is_closing():
                held, self._held = self._held, b""
                self.transport.resume_reading()
                self.data_received(held)

    def close(self) -> None:
        """Close the connection after the request in progress."""
        self._close = True
        if not self._is_direct:  # otherwise `respond` closes it
            super().close()

    def _begin_direct(self) -> bool:
        """Begin to handle the only message directly; return False if aiohttp's task must handle the messages."""
        if self._server.direct is None or len(self._messages) != 1 or self._upgraded or self.writing_paused:
            return False
        message, body = self._messages[0]
        if isinstance(message, _ErrInfo) or body is EMPTY_PAYLOAD or not body.is_eof() or body.exception() is not None:
            return False
        self._is_direct = True
        content = b"".join(body._buffer)  # noqa: SLF001  # to read from it would parse again
        if not self._server.direct.take(message, content, self):
            self._is_direct = False
            return False
        self._messages.clear()
        if self._parser is not None:
            self._parser.message_consumed()
        return True

    def _process_keepalive(self) -> None:
        if self._is_direct:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002  # aiohttp's signature
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Return the response to a request whose headers are malformed or late."""
        if request.writer.output_size > 0:
            raise ConnectionError("A response has already been started.")
        response = _error_response(request, from_status(status))
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send *resp*, with `Connection: close` while the server drains.

        Errors that aiohttp raises itself, such as for `Expect`, get the JSON form of all errors.
        """
        if isinstance(resp, web.HTTPException):
            resp = _error_response(request, as_http_error(resp))
        if self._server.is_draining:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *arguments: Any, **named: Any) -> None:
        """Log an error of the server, not a body that its client broke off after the response."""
        if not isinstance(named.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*arguments, **named)

    def _fail_body(self) -> None:
        """Fail the body that the parser rejected midway; aiohttp would leave the handler waiting for the rest of it."""
        if len(self._messages) > 2 or self._body.is_eof():
            return
        self._messages.pop()
        self._body.set_exception(web.RequestPayloadError("The body does not have the form that its headers announce."))
        self._body.feed_eof()
        self.close()

    def _expire_head(self) -> None:
        """Answer 408 if headers have begun; close the connection silently if nothing was received."""
        self._head_timer = None
        waiter = self._waiter
        if not self._head_started or waiter is None or waiter.done():
            self.force_close()
            return
        self._messages.append((_ErrInfo(status=408, exc=TimeoutError(), message=""), EMPTY_PAYLOAD))
        waiter.set_result(None)

    def _start_timer(self) -> None:
        self._head_timer = self._loop.call_later(self._head_timeout_seconds, self._expire_head)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(web.Server):
    def __init__(
        self,
        *arguments: Any,
        head_timeout_seconds: float,
        connection_limit: int,
        direct: DirectHandler | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self.direct = direct
        self._head_timeout_seconds = head_timeout_seconds
        self._connection_limit = connection_limit
        self.is_draining = False

    def __call__(self) -> RequestHandler:
        return HardenedRequestHandler(
            self, loop=self._loop, head_timeout_seconds=self._head_timeout_seconds, **self._kwargs
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Accept the connection; at the limit, close the connection that has been idle longest, or this one."""
        if len(self._connections) >= self._connection_limit:
            open_handlers = (known for known in self._connections if isinstance(known, HardenedRequestHandler))
            next((known for known in open_handlers if known.is_idle), handler).force_close()
        super().connection_made(handler, transport)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # aiohttp's signature
        """Wait *timeout* seconds for requests in flight, then cancel those that are left.

        aiohttp alone would wait as long again after it has stopped to read their bodies.
        """
        connections = [each for each in self._connections if isinstance(each, HardenedRequestHandler)]
        if tasks := [each.task for each in connections if each.task is not None]:
            _, unfinished = await asyncio.wait(tasks, timeout=timeout)
            if unfinished:
                log.warning("cancelling %d requests that did not finish during the shutdown", len(unfinished))
        await super().shutdown(CANCEL_SECONDS / 2)


class GatewayRunner(web.AppRunner):
    """Runs an application on hardened connections."""

    drain_timeout_seconds = 10.0
    """Time that requests in flight have to finish when `cleanup` has closed the listener."""

    def __init__(
        self,
        app: web.Application,
        *,
        head_timeout_seconds: float,
        connection_limit: int,
        direct: DirectHandler | None = None,
        **named: Any,
    ) -> None:
        super().__init__(app, **named)
        self._direct = direct
        self._head_timeout_seconds = head_timeout_seconds
        self._connection_limit = connection_limit

    def close_connections_after_response(self) -> None:
        """Send `Connection: close` with every response from now on."""
        if isinstance(self.server, _Server):
            self.server.is_draining = True

    async def cleanup(self) -> None:
        """Close the listener, wait for requests in flight, and close the application."""
        self._shutdown_timeout = self.drain_timeout_seconds
        await super().cleanup()

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        return _Server(
            server.request_handler,
            request_factory=server.request_factory,
            loop=asyncio.get_running_loop(),
            head_timeout_seconds=self._head_timeout_seconds,
            connection_limit=allowed_connections(self._connection_limit),
            direct=self._direct,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001  # passed on unchanged
        )


def _error_response(request: web.BaseRequest, error: HttpError) -> web.Response:
    request_id = request_id_of(request.headers)
    return identified(error_response(error, request_id), request_id)
