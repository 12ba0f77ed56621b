"""Requests whose headers say something else than their body is: what clients, proxies and `curl -d` send."""

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
from tests.integration.served import BEARER, TOKEN, Answer, Served, serving, track

SETTINGS = GatewaySettings(
    wire_limit_bytes=10_000, body_limit_bytes=100_000, body_stall_timeout_seconds=0.5, in_flight_limit_bytes=300_000
)
BODY = json.dumps({"batch": [track(messageId="m-1")], "writeKey": TOKEN}).encode()
every_sender = pytest.mark.parametrize("token", [BEARER, {}], ids=["token in the header", "token in the body"])


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with serving(SETTINGS) as served:
        yield served


def assert_stored(gateway: Served, answer: Answer) -> None:
    assert answer.status == 200
    assert [item["messageId"] for item in gateway.written()] == ["m-1"]
    assert gateway.budget.reserved_bytes == 0


@every_sender
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/json, application/json",
        "text/plain",
        "text/plain;charset=utf-8",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "application/gzip",
        "application/octet-stream",
        "application/vnd.api+json; profile=x; charset=us-ascii",
        "nonsense",
    ],
)
async def test_json_is_json_whatever_its_type(gateway: Served, token: dict[str, str], content_type: str) -> None:
    assert_stored(gateway, await gateway.post("/b", BODY, headers=token | {"Content-Type": content_type}))


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data; boundary=x",
        "Multipart/mixed",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json; charset = 'ISO-8859-1'",
        "application/json, application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-16",
    ],
)
async def test_multipart_and_other_charsets_are_a_415(gateway: Served, content_type: str) -> None:
    answer = await gateway.post("/b", BODY, headers=BEARER | {"Content-Type": content_type})

    assert (answer.status, answer.json["code"]) == (415, "unsupported_content_type")
    assert "Content-Type: application/json" in answer.json["message"]


@every_sender
@pytest.mark.parametrize("encoding", [None, "identity", "gzip", "utf-8"])
async def test_body_that_begins_as_gzip_is_gzip(gateway: Served, token: dict[str, str], encoding: str | None) -> None:
    headers = token | {"Content-Type": "application/json"} | ({"Content-Encoding": encoding} if encoding else {})

    assert_stored(gateway, await gateway.post("/b?compression=gzip", gzip.compress(BODY), headers=headers))


@every_sender
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "zstd", "br", "utf-8", "UTF8", "us-ascii"])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\r\n\t "], ids=["", "byte order mark", "space"])
async def test_json_is_json_whatever_its_encoding_header(
    gateway: Served, token: dict[str, str], encoding: str, before: bytes
) -> None:
    assert_stored(gateway, await gateway.post("/b", before + BODY, headers=token | {"Content-Encoding": encoding}))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
async def test_plain_body_with_an_encoding_has_the_limit_of_plain_bodies(gateway: Served, encoding: str) -> None:
    headers = BEARER | {"Content-Encoding": encoding}
    large = BODY.ljust(SETTINGS.body_limit_bytes)

    at_limit = await gateway.post("/b", large, headers=headers)
    above = await gateway.post("/b", large + b" ", headers=headers)

    assert_stored(gateway, at_limit)
    assert (above.status, above.json["code"]) == (413, "body_too_large")


@every_sender
async def test_gzip_without_its_header_has_the_limit_of_compressed_bodies(
    gateway: Served, token: dict[str, str]
) -> None:
    def padded(size: int) -> bytes:
        """Return gzip of *size* bytes, with a comment in its header."""
        plain = gzip.compress(BODY)
        comment = b"x" * (size - len(plain) - 1) + b"\0"
        return plain[:3] + bytes([plain[3] | 16]) + plain[4:10] + comment + plain[10:]

    at_limit = await gateway.post("/b", padded(SETTINGS.wire_limit_bytes), headers=token)
    above = await gateway.post("/b", padded(SETTINGS.wire_limit_bytes + 1), headers=token)

    assert_stored(gateway, at_limit)
    assert (above.status, above.json["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "compress",
    [gzip.compress, zlib.compress, zstandard.compress, brotli.compress],
    ids=["gzip", "deflate", "zstd", "br"],
)
async def test_large_compressed_body_is_rejected_by_its_beginning(
    gateway: Served, compress: Callable[[bytes], bytes]
) -> None:
    encoding = {gzip.compress: "gzip", zlib.compress: "deflate", zstandard.compress: "zstd"}.get(compress, "br")
    head = f"POST /b HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {TOKEN}\r\nContent-Encoding: {encoding}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"{head}Content-Length: 90000\r\n\r\n".encode() + compress(BODY) + b"x" * 20_000)
    async with asyncio.timeout(SETTINGS.body_stall_timeout_seconds * 0.9):
        reply = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert reply.startswith(b"HTTP/1.1 413 ")
    assert gateway.budget.reserved_bytes == 0


@every_sender
async def test_decompression_of_gzip_without_its_header_is_limited(gateway: Served, token: dict[str, str]) -> None:
    bomb = gzip.compress(b" " * 5_000_000)
    assert len(bomb) < SETTINGS.wire_limit_bytes

    answer = await gateway.post("/b", bomb, headers=token)

    assert (answer.status, answer.json["code"]) == (413, "body_too_large")
    assert gateway.budget.reserved_bytes == 0


async def test_gzip_that_is_damaged_is_named_with_and_without_its_header(gateway: Served) -> None:
    damaged = gzip.compress(BODY)[:-9]

    for headers in (BEARER, BEARER | {"Content-Encoding": "gzip"}):
        answer = await gateway.post("/b", damaged, headers=headers)
        assert (answer.status, answer.json["code"]) == (400, "corrupt_body")


async def test_steady_slow_upload_of_a_large_body_finishes() -> None:
    """450 KB at a few times the least rate, for longer than the timeout."""
    settings = replace(SETTINGS, body_limit_bytes=500_000, body_stall_timeout_seconds=0.3, in_flight_limit_bytes=10**7)
    body = BODY.ljust(450_000)
    head = f"POST /b HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with serving(settings) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head.encode())
        async with asyncio.timeout(20):
            for at in range(0, len(body), 30_000):
                await asyncio.sleep(settings.body_stall_timeout_seconds / 4)
                writer.write(body[at : at + 30_000])
            reply = await reader.readuntil(b"\r\n\r\n")
        writer.close()

        assert reply.startswith(b"HTTP/1.1 200 ")
