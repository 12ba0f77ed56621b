"""Canaries: one test for each private name of aiohttp that the gateway uses.

A failure after an upgrade of aiohttp names the private name that changed. Read the new source of aiohttp, adapt
`gateway/http/protocol.py`, then run `tests/integration/test_gateway_wire.py`, which checks the behavior on sockets.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway.admission import MemoryBudget
from gateway.errors import CorruptBodyError
from gateway.http.protocol import GatewayRunner, HardenedRequestHandler, _Server
from gateway.ingest.body import BodyLimits, read_wire


class Transport(asyncio.Transport):
    """A connection in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closing = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.closing.set()

    def is_closing(self) -> bool:
        return self.closing.is_set()


async def answer_with_the_body(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=await request.read())


async def connect(
    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = answer_with_the_body, **settings: float
) -> tuple[HardenedRequestHandler, Transport]:
    """Return a connection of a server with the handler *handle*, after aiohttp began to wait for a request."""
    server = _Server(handle, head_timeout_seconds=settings.get("head_timeout_seconds", 60.0), connection_limit=10)
    connection, transport = server(), Transport()
    assert isinstance(connection, HardenedRequestHandler)
    connection.connection_made(transport)
    await asyncio.sleep(0)
    return connection, transport


async def test_waiter_is_a_pending_future_while_the_connection_is_idle() -> None:
    """`_waiter`. If it fails: find what aiohttp awaits between requests; idle connections are closed at the limit."""
    connection, _ = await connect()
    assert isinstance(connection._waiter, asyncio.Future)
    assert connection.is_idle

    connection.data_received(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n\r\n")

    assert not connection.is_idle
    connection.connection_lost(None)


async def test_request_count_grows_with_each_complete_head() -> None:
    """`_request_count`. If it fails: find how aiohttp tells that headers are complete; it stops the header timeout."""
    connection, _ = await connect()
    counts = [connection._request_count]
    for data in (b"GET / HTTP/1.1\r\n", b"Host: g\r\n\r\n", b"GET / HTTP/1.1\r\nHost: g\r\n\r\n" * 2):
        connection.data_received(data)
        counts.append(connection._request_count)

    assert counts == [0, 0, 1, 3]
    connection.connection_lost(None)


async def test_messages_queue_the_parsed_requests_with_their_bodies() -> None:
    """`_messages`. If it fails: find the queue of parsed requests; a body that the parser rejects is failed there."""
    connection, _ = await connect()
    connection.data_received(b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")

    ((message, body),) = connection._messages

    assert not isinstance(message, _ErrInfo)
    assert body is connection._body
    assert not body.is_eof()
    connection.connection_lost(None)


async def test_err_info_makes_aiohttp_answer_with_its_status() -> None:
    """`_ErrInfo`, `_loop`. If it fails: find how the parser reports an error to `handle_error`; 408 uses that."""
    connection, transport = await connect(head_timeout_seconds=0.01)
    connection.data_received(b"GET / HT")

    async with asyncio.timeout(10):
        await transport.closing.wait()

    assert transport.sent.startswith(b"HTTP/1.0 408 ")
    assert b'"code":"headers_timeout"' in transport.sent
    connection.connection_lost(None)


async def test_server_keeps_its_connections_oldest_first() -> None:
    """`_connections`. If it fails: find where the server keeps its connections; the oldest idle one is closed."""

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    server = _Server(handle, head_timeout_seconds=60.0, connection_limit=10)
    connections = [server() for _ in range(3)]
    for connection in connections:
        connection.connection_made(Transport())

    assert list(server._connections) == connections
    for connection in connections:
        connection.connection_lost(None)


async def test_make_server_and_kwargs_configure_the_connections() -> None:
    """`_make_server`, `_kwargs`. If it fails: find where the runner creates its server and passes its options."""
    assert inspect.iscoroutinefunction(web.AppRunner._make_server)
    runner = GatewayRunner(
        web.Application(), head_timeout_seconds=60.0, connection_limit=10, keepalive_timeout=7.0, access_log=None
    )
    await runner.setup()

    connection = runner.server() if runner.server else None

    assert isinstance(connection, HardenedRequestHandler)
    assert connection._keepalive_timeout == 7.0
    await runner.cleanup()


@pytest.mark.parametrize("logs", [False, True], ids=["gateway", "control: aiohttp"])
async def test_body_that_is_broken_off_after_the_response_is_not_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, logs: bool
) -> None:
    """`log_exception`. If it fails: find how aiohttp logs errors outside handlers; strangers can cause this one."""

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=401)

    if logs:
        monkeypatch.setattr(HardenedRequestHandler, "log_exception", RequestHandler.log_exception)
    connection, transport = await connect(handle)
    connection.data_received(b"POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")
    async with asyncio.timeout(10):
        while not transport.sent:  # noqa: ASYNC110  # what the transport has sent
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)  # by then aiohttp reads the rest of the body
        connection.data_received(b"-1\r\n")
        await transport.closing.wait()

    assert ("Unhandled exception" in caplog.text) == logs
    connection.connection_lost(None)


@pytest.mark.parametrize("iterations", range(1, 5))
async def test_body_of_a_lost_connection_is_corrupt_whenever_it_is_lost(iterations: int) -> None:
    errors: list[Exception] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        try:
            await read_wire(cast("web.Request", request), None, BodyLimits(100, 100, 60.0), MemoryBudget(100))
        except Exception as error:  # noqa: BLE001  # the test names the one that it expects
            errors.append(error)
        return web.Response()

    connection, _ = await connect(handle)
    connection.data_received(b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 9\r\n\r\n{")
    for _ in range(iterations):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    async with asyncio.timeout(10):
        while not errors:  # noqa: ASYNC110  # the handler runs in a task of aiohttp
            await asyncio.sleep(0)

    assert [type(error) for error in errors] == [CorruptBodyError]


def listening_runner(handle: Handler) -> GatewayRunner:
    """Return a runner whose application answers every path with *handle*."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    return GatewayRunner(app, head_timeout_seconds=60.0, connection_limit=10, access_log=None)


async def opened(runner: GatewayRunner) -> tuple[HardenedRequestHandler, Transport]:
    await runner.setup()
    assert runner.server is not None
    connection, transport = runner.server(), Transport()
    assert isinstance(connection, HardenedRequestHandler)
    connection.connection_made(transport)
    return connection, transport


async def test_task_handler_is_cancelled_when_its_request_does_not_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`_task_handler`, `_shutdown_timeout`. If it fails: find how a server waits for requests when it shuts down."""
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(_: web.Request) -> web.StreamResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    runner = listening_runner(handle)
    connection, transport = await opened(runner)
    connection.data_received(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n")
    await began.wait()
    runner.drain_timeout_seconds = 0.05

    async with asyncio.timeout(30):
        await runner.cleanup()
        await cancelled.wait()

    assert transport.closing.is_set()
    assert transport.sent == b""
    assert "cancelling 1 requests" in caplog.text


async def test_request_in_flight_is_answered_during_the_shutdown() -> None:
    released = asyncio.Event()

    async def handle(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    runner = listening_runner(handle)
    connection, transport = await opened(runner)
    connection.data_received(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n")
    closing = asyncio.ensure_future(runner.cleanup())
    await asyncio.sleep(0)
    released.set()

    await closing

    assert transport.sent.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("drains", [False, True])
async def test_response_closes_its_connection_while_the_server_drains(*, drains: bool) -> None:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response()

    runner = listening_runner(handle)
    connection, transport = await opened(runner)
    if drains:
        runner.close_connections_after_response()

    connection.data_received(b"GET / HTTP/1.1\r\nHost: g\r\n\r\n")
    async with asyncio.timeout(10):
        while not transport.sent:  # noqa: ASYNC110  # what the transport has sent
            await asyncio.sleep(0)
        if drains:
            await transport.closing.wait()

    assert (b"\r\nConnection: close\r\n" in transport.sent, transport.closing.is_set()) == (drains, drains)
    await runner.cleanup()
