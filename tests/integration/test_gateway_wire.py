"""Requests on the wire: encodings, limits, timeouts, and bytes that are not HTTP."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import brotli
import pytest
import zstandard

from gateway.settings import GatewaySettings
from schemas.projects import Project
from tests.integration.served import BEARER, TOKEN, Served, serving, track

SETTINGS = GatewaySettings(
    wire_limit_bytes=10_000, body_limit_bytes=100_000, body_stall_timeout_seconds=0.5, in_flight_limit_bytes=300_000
)
BATCH = {"batch": [track(messageId="m-1")]}
HEAD = f"POST /event/batch HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with serving(SETTINGS) as served:
        yield served


async def exchange(gateway: Served, *parts: bytes, within_seconds: float = 5.0) -> bytes:
    """Send *parts* on one connection and return the complete response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    received = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(within_seconds):
            received = await reader.readuntil(b"\r\n\r\n")
            length = int(received.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            received += await reader.readexactly(length)
    finally:
        writer.close()
    return received


def status_of(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


def code_of(reply: bytes) -> str:
    error = json.loads(reply.partition(b"\r\n\r\n")[2])
    assert set(error) == {"code", "message", "requestId"}
    return str(error["code"])


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.compress),
        ("br", brotli.compress),
    ],
)
async def test_body_is_accepted_in_every_encoding(
    gateway: Served, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    answer = await gateway.post(
        "/b", compress(json.dumps(BATCH).encode()), headers=BEARER | {"Content-Encoding": encoding}
    )

    assert answer.status == 200
    assert [item["messageId"] for item in gateway.written()] == ["m-1"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
async def test_body_that_does_not_match_its_encoding_is_corrupt(gateway: Served, encoding: str) -> None:
    answer = await gateway.post("/b", b"not compressed", headers=BEARER | {"Content-Encoding": encoding})

    assert (answer.status, answer.json["code"]) == (400, "corrupt_body")


@pytest.mark.parametrize("encoding", ["compress", "gzip, br", "gzip, gzip", "utf-16"])
async def test_unknown_and_stacked_encodings_are_unsupported(gateway: Served, encoding: str) -> None:
    answer = await gateway.post("/b", BATCH, headers=BEARER | {"Content-Encoding": encoding})

    assert (answer.status, answer.json["code"]) == (415, "unsupported_encoding")


async def test_decompression_bomb_is_too_large(gateway: Served) -> None:
    bomb = gzip.compress(b" " * 5_000_000)
    assert len(bomb) < SETTINGS.wire_limit_bytes

    answer = await gateway.post("/b", bomb, headers=BEARER | {"Content-Encoding": "gzip"})

    assert (answer.status, answer.json["code"]) == (413, "body_too_large")
    assert gateway.budget.reserved_bytes == 0


async def test_limit_applies_to_compressed_and_to_plain_bodies(gateway: Served) -> None:
    padding = {"padding": "x" * (SETTINGS.wire_limit_bytes + 1)}
    plain = await gateway.post("/b", BATCH | padding)
    long = await gateway.post("/b", BATCH | {"padding": "x" * SETTINGS.body_limit_bytes})
    wire = await gateway.post("/b", b"x" * 10_001, headers=BEARER | {"Content-Encoding": "gzip"})

    assert plain.status == 200
    assert (long.status, wire.status) == (413, 413)


async def test_body_announced_too_large_is_rejected_before_it_arrives(gateway: Served) -> None:
    reply = await exchange(gateway, HEAD + b"Content-Length: 100001\r\n\r\n")

    assert (status_of(reply), code_of(reply)) == (413, "body_too_large")


async def test_chunked_bodies_are_accepted_and_limited(gateway: Served) -> None:
    body = json.dumps(BATCH).encode()
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

    good = await exchange(gateway, chunked, b"%x\r\n%b\r\n" % (len(body), body), b"0\r\n\r\n")
    long = await exchange(gateway, chunked, *[b"2710\r\n" + b" " * 10_000 + b"\r\n"] * 11)
    broken = await exchange(gateway, chunked, b"xyz\r\n")

    assert status_of(good) == 200
    assert (status_of(long), code_of(long)) == (413, "body_too_large")
    assert status_of(broken) == 400
    assert gateway.budget.reserved_bytes == 0


async def test_post_without_a_body_requires_a_length(gateway: Served) -> None:
    reply = await exchange(gateway, HEAD + b"\r\n")

    assert (status_of(reply), code_of(reply)) == (411, "length_required")


async def test_body_that_stalls_times_out(gateway: Served) -> None:
    reply = await exchange(gateway, HEAD + b"Content-Length: 1000\r\n\r\n", b"{")

    assert (status_of(reply), code_of(reply)) == (408, "body_timeout")
    assert gateway.budget.reserved_bytes == 0


@pytest.mark.parametrize(("chunk_bytes", "status"), [(1500, 200), (10, 408)])
async def test_steady_body_may_take_longer_than_the_timeout_and_a_trickle_may_not(
    gateway: Served, chunk_bytes: int, status: int
) -> None:
    chunks = 10
    body = json.dumps(BATCH).encode().ljust(chunk_bytes * chunks)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
    async with asyncio.timeout(10):
        for at in range(0, len(body), chunk_bytes):
            await asyncio.sleep(SETTINGS.body_stall_timeout_seconds / 4)  # 2.5 times the timeout in all
            writer.write(body[at : at + chunk_bytes])
        reply = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert status_of(reply) == status


async def test_invalid_token_is_rejected_before_the_body_is_sent(gateway: Served) -> None:
    head = b"POST /b HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer wrong\r\nContent-Length: 1000\r\n\r\n"

    assert status_of(await exchange(gateway, head)) == 401


async def test_exceeded_rate_is_rejected_before_the_body_is_sent(gateway: Served) -> None:
    gateway.projects.add(Project("dev", "Development", 0, items_per_second=0.1, burst=1))
    assert (await gateway.post("/b", BATCH)).status == 200

    reply = await exchange(gateway, HEAD + b"Content-Length: 1000\r\n\r\n")

    assert (status_of(reply), code_of(reply)) == (429, "rate_limited")
    assert b"Retry-After: 10\r\n" in reply


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"POST /b HTTP/1.1\r\nHost: g\r\nAuthorization : Bearer secret-of-mine\r\n\r\n",
        b"POST /b HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /b HTTP/1.1\r\nHost: g\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    ],
    ids=["TLS", "space before a colon", "two lengths", "long header"],
)
async def test_invalid_http_gets_a_json_error_and_is_not_quoted(
    gateway: Served, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await exchange(gateway, request_bytes)

    assert (status_of(reply), code_of(reply)) == (400, "bad_request")
    assert b"Server: sequence\r\n" in reply
    assert b"secret-of-mine" not in reply
    assert caplog.text == ""


async def test_pipelined_requests_are_answered_in_order(gateway: Served) -> None:
    body = json.dumps(BATCH).encode()
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)

    writer.write(request * 3)

    async with asyncio.timeout(5):
        for _ in range(3):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"]}")
    writer.close()
    assert len(gateway.written()) == 3


async def test_headers_that_do_not_arrive_time_out() -> None:
    async with serving(replace(SETTINGS, head_timeout_seconds=0.3)) as gateway:
        reply = await exchange(gateway, HEAD[:40])
        silent, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        async with asyncio.timeout(5):
            assert await silent.read() == b""
        writer.close()

    assert (status_of(reply), code_of(reply)) == (408, "headers_timeout")


async def test_idle_connection_is_not_closed_by_the_header_timeout() -> None:
    body = json.dumps(BATCH).encode()
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with serving(replace(SETTINGS, head_timeout_seconds=0.2)) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        async with asyncio.timeout(5):
            for _ in range(2):
                writer.write(request)
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                await reader.readuntil(b"]}")
                await asyncio.sleep(0.4)  # longer than headers may take
        writer.close()


async def test_connection_limit_closes_the_oldest_idle_connection() -> None:
    async with serving(replace(SETTINGS, connection_limit=3)) as gateway:
        busy = asyncio.create_task(exchange(gateway, HEAD + b"Content-Length: 9\r\n\r\n{"))
        async with asyncio.timeout(5):
            while gateway.budget.reserved_bytes == 0:  # noqa: ASYNC110  # the other side of a socket counts it
                await asyncio.sleep(0.005)
        idle = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]

        assert (await gateway.post("/b", BATCH)).status == 200

        async with asyncio.timeout(5):
            assert await idle[0][0].read() == b""
        idle[1][1].write(b"GET /health/live HTTP/1.1\r\nHost: g\r\n\r\n")
        assert (await idle[1][0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert status_of(await busy) == 408
        for _, writer in idle:
            writer.close()


async def test_malformed_chunk_is_answered_immediately(gateway: Served) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head)
    async with asyncio.timeout(SETTINGS.body_stall_timeout_seconds * 0.8):
        await asyncio.sleep(0.05)  # by then the gateway waits for the body
        writer.write(b"-1\r\n")
        reply = await reader.read()
    writer.close()

    assert (status_of(reply), code_of(reply)) == (400, "corrupt_body")


async def test_unsupported_expectation_gets_a_json_error(gateway: Served) -> None:
    reply = await exchange(gateway, HEAD + b"Content-Length: 2\r\nExpect: more\r\n\r\n{}")

    assert (status_of(reply), code_of(reply)) == (417, "expectation_failed")
    assert b"Server: sequence\r\n" in reply
