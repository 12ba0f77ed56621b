"""Canaries of the private names of aiohttp by which requests are handled directly, as in `test_protocol.py`."""

from __future__ import annotations

import asyncio

from aiohttp.http import RawRequestMessage

from gateway.http.direct import Connection
from gateway.http.protocol import HardenedRequestHandler, _Server
from gateway.http.responses import Reply
from tests.unit.gateway.http.test_protocol import Transport, answer_with_the_body, connect


class EchoDirect:
    """Answers every request with its body, directly."""

    def __init__(self) -> None:
        self.taken = 0
        self.withholds = False

    def take(self, _: RawRequestMessage, body: bytes, connection: Connection) -> bool:
        self.taken += 1
        if not self.withholds:
            connection.respond(Reply(body), {})
        return True


REQUEST = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\n\r\nx"


async def connect_directly(direct: EchoDirect) -> tuple[HardenedRequestHandler, Transport]:
    connection, transport = await connect()
    connection._server.direct = direct
    return connection, transport


async def test_direct_requests_are_consumed_messages_of_the_parser() -> None:
    """`_parser.message_consumed`, `_messages`. If it fails: find how aiohttp counts parsed requests; it stops at 32."""
    direct = EchoDirect()
    connection, transport = await connect_directly(direct)
    for _ in range(100):
        connection.data_received(REQUEST)

    assert direct.taken == transport.sent.count(b"HTTP/1.1 200 OK") == 100
    connection.data_received(3 * REQUEST)
    assert len(connection._messages) == 3
    connection.connection_lost(None)


async def test_buffer_of_a_complete_body_has_all_of_it() -> None:
    """`StreamReader._buffer`. If it fails: find where a body is until it is read; direct requests take it there."""
    connection, transport = await connect_directly(EchoDirect())
    connection.data_received(REQUEST.replace(b"1\r\n\r\nx", b"70000\r\n\r\n" + 70_000 * b"x"))

    assert transport.sent.endswith(b"\r\n\r\n" + 70_000 * b"x")
    connection.connection_lost(None)


async def test_waiter_is_hidden_while_a_request_is_parsed() -> None:
    """`_waiter`, `_upgraded`. If it fails: find how aiohttp wakes its task; a direct request leaves the task asleep."""
    direct = EchoDirect()
    connection, transport = await connect_directly(direct)
    connection.data_received(REQUEST)
    assert connection.is_idle

    connection._server.direct = None
    connection.data_received(REQUEST)

    assert not connection.is_idle
    async with asyncio.timeout(10):
        while transport.sent.count(b"HTTP/1.1 200 OK") < 2:  # noqa: ASYNC110  # what the transport has sent
            await asyncio.sleep(0)
    connection.connection_lost(None)


async def test_keepalive_timeout_starts_with_the_direct_response() -> None:
    """`_process_keepalive`, `_next_keepalive_close_time`. If it fails: find how aiohttp closes idle connections."""
    direct = EchoDirect()
    direct.withholds = True
    connection, transport = await connect_directly(direct)
    connection.data_received(REQUEST)
    connection._next_keepalive_close_time = 0.0
    connection._process_keepalive()
    assert not transport.closing.is_set()

    connection._next_keepalive_close_time = 0.0
    connection.respond(Reply(b"{}"), {})
    connection._process_keepalive()
    assert not transport.closing.is_set()

    connection._next_keepalive_close_time = 0.0
    connection._process_keepalive()
    assert transport.closing.is_set()
    connection.connection_lost(None)


async def test_shutdown_of_a_connection_waits_for_its_direct_request() -> None:
    """`_close`, `_force_close`. If it fails: find how a connection ends after its request."""
    direct = EchoDirect()
    direct.withholds = True
    connection, transport = await connect_directly(direct)
    connection.data_received(REQUEST)
    connection.close()
    closing = asyncio.ensure_future(connection.shutdown(10.0))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not transport.closing.is_set()

    connection.respond(Reply(b"{}"), {})
    await closing

    assert transport.sent.startswith(b"HTTP/1.1 200 OK")
    assert transport.closing.is_set()
    connection.connection_lost(None)


async def test_connection_with_a_direct_request_is_not_closed_at_the_limit() -> None:
    direct = EchoDirect()
    direct.withholds = True
    server = _Server(answer_with_the_body, head_timeout_seconds=60.0, connection_limit=2)
    server.direct = direct
    transports = [Transport() for _ in range(3)]
    for transport in transports:
        connection = server()
        connection.connection_made(transport)
        await asyncio.sleep(0)
        if transport is transports[0]:
            connection.data_received(REQUEST)

    assert [transport.closing.is_set() for transport in transports] == [False, True, False]
    for connection in server.connections:
        connection.connection_lost(None)
