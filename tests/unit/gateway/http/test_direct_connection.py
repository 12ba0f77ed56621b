"""Connections with requests that are handled directly: their order, and what ends them."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.unit.gateway.http.in_memory import TRACK, gateway, messages, request, until


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with gateway() as served:
        connection, transport = await served.connect()
        served.publisher.hold()
        connection.data_received(request(X_Request_Id="r-1"))
        whole = b"".join(request(X_Request_Id=f"r-{number}") for number in range(2, 6))
        connection.data_received(whole[:100])
        connection.data_received(whole[100:])
        assert transport.is_reading_paused
        served.publisher.resume()

        await until(lambda: transport.sent.count(b"HTTP/1.1 200 OK") == 5)

        assert re.findall(rb"X-Request-Id: (r-\d)", transport.sent) == [b"r-1", b"r-2", b"r-3", b"r-4", b"r-5"]
        assert not transport.is_reading_paused


async def test_reading_continues_when_the_next_head_is_not_complete() -> None:
    async with gateway() as served:
        connection, transport = await served.connect()
        served.publisher.hold()
        connection.data_received(request())
        connection.data_received(request()[:30])
        served.publisher.resume()
        await until(lambda: transport.sent)

        assert not transport.is_reading_paused
        connection.data_received(request()[30:])
        await until(lambda: transport.sent.count(b"HTTP/1.1 200 OK") == 2)


async def test_request_whose_body_arrives_later_is_answered_by_aiohttp() -> None:
    async with gateway() as served:
        connection, transport = await served.connect()
        connection.data_received(request()[:-5])
        assert not connection._is_direct
        connection.data_received(request()[-5:])

        await until(lambda: transport.sent)

        assert transport.sent.startswith(b"HTTP/1.1 200 OK")


async def test_requests_of_one_iteration_share_it_up_to_its_limit() -> None:
    async with gateway() as served:
        served.publisher.hold()
        sending = request({"batch": [{**TRACK, "event": "e" * 200}] * 40})
        number = 8
        for connection, _ in [await served.connect() for _ in range(number)]:
            connection.data_received(sending)
        admitted = [served.count("sequence_gateway_body_bytes_total")]
        for _ in range(number):
            await asyncio.sleep(0)
            admitted.append(served.count("sequence_gateway_body_bytes_total"))

        size = admitted[-1] / number
        steps = [later - earlier for earlier, later in zip([0, *admitted], admitted, strict=False)]
        assert max(steps) == 2 * size
        assert steps[0] == 2 * size
        served.publisher.resume()


async def test_lost_connection_does_not_stop_its_request(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway() as served:
        connection, transport = await served.connect()
        served.publisher.hold()
        connection.data_received(request())
        connection.connection_lost(None)
        served.publisher.resume()

        await until(lambda: served.count("sequence_gateway_requests_total", status="200"))

        assert len(served.publisher.records("sequence.items.v1")) == 1
        assert (transport.sent, served.budget.reserved_bytes) == (b"", 0)
        await asyncio.sleep(0)
        assert caplog.records == []


async def test_shutdown_waits_for_the_response() -> None:
    async with gateway() as served:
        connection, transport = await served.connect()
        idle, _ = await served.connect()
        served.publisher.hold()
        connection.data_received(request())
        closing = asyncio.ensure_future(served.runner.cleanup())
        await until(lambda: idle.task is None or idle.task.done())
        assert not transport.is_closing()
        served.publisher.resume()

        await closing

        assert transport.sent.startswith(b"HTTP/1.1 200 OK")
        assert transport.is_closing()


async def test_shutdown_ends_a_request_that_is_not_acknowledged(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway() as served:
        connection, transport = await served.connect()
        served.publisher.hold()
        connection.data_received(request())
        served.runner.drain_timeout_seconds = 0.05

        async with asyncio.timeout(30):
            await served.runner.cleanup()

        assert (transport.sent, transport.is_closing()) == (b"", True)
        assert "cancelling 1 requests" in caplog.text
        served.publisher.resume()
        await until(lambda: served.count("sequence_gateway_requests_total", status="200"))
        assert transport.sent == b""


async def test_response_closes_its_connection_while_the_gateway_drains() -> None:
    async with gateway() as served:
        connection, transport = await served.connect()
        served.runner.close_connections_after_response()

        connection.data_received(request())
        await until(transport.is_closing)

        ((status, headers, _),) = messages(transport.sent)
        assert (status, "Connection: close" in headers) == ("HTTP/1.1 200 OK", True)
