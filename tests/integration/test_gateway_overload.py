"""A gateway under attack: what strangers, slow senders and one busy project cannot take from the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import brotli
import pytest
from aiohttp import web

from gateway.admission import Reservation
from gateway.http import health, ingest_handler
from gateway.ingest import envelope
from gateway.ingest.body import BodyLimits, ReservedBytes, read_body
from gateway.settings import GatewaySettings
from tests.integration.served import BEARER, OTHER_TOKEN, TOKEN, Served, serving, track

SETTINGS = GatewaySettings(
    wire_limit_bytes=10_000,
    body_limit_bytes=100_000,
    body_stall_timeout_seconds=20.0,
    in_flight_limit_bytes=300_000,
    unauthenticated_limit_bytes=1,
)
"""Requests without a token in their headers may hold 80,000 bytes: four bodies of 10,000, compressed and not."""
BATCH = {"batch": [track(messageId="m-1")]}
BODY_TOKEN = {**BATCH, "writeKey": TOKEN}
OTHER = {"Authorization": f"Bearer {OTHER_TOKEN}"}
STRANGER = b"POST /event/batch HTTP/1.1\r\nHost: gateway\r\n"
HEAD = STRANGER + b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
SLOW_CONNECTIONS = 33


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with serving(SETTINGS) as served:
        yield served


@asynccontextmanager
async def connections(gateway: Served, count: int, *parts: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open *count* connections for the block, each of which has sent *parts*."""
    opened = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(count)]
    for _, writer in opened:
        writer.writelines(parts)
    yield [reader for reader, _ in opened]
    for _, writer in opened:
        writer.close()


def overloaded(gateway: Served, reason: str) -> float:
    return (
        gateway.metrics.registry.get_sample_value("sequence_gateway_overloaded_requests_total", {"reason": reason})
        or 0.0
    )


async def read_and_reserve_the_announced_length(
    request: web.Request, limits: BodyLimits, reserved: ReservedBytes
) -> bytes:
    """Read the body as a mutant of `read_body` for the control."""
    reserved.reserve(request.content_length or 0)
    return await read_body(request, limits, reserved)


async def bodies_read(gateway: Served, size: int) -> None:
    value = partial(gateway.metrics.registry.get_sample_value, "sequence_gateway_body_bytes_total")
    async with asyncio.timeout(5):
        while (value() or 0) < size:  # noqa: ASYNC110  # the other side of a socket counts it
            await asyncio.sleep(0.005)


async def in_flight(gateway: Served, size: int) -> None:
    async with asyncio.timeout(5):
        while gateway.budget.reserved_bytes < size:  # noqa: ASYNC110  # the other side of a socket counts it
            await asyncio.sleep(0.005)


async def eventually_ready(gateway: Served) -> None:
    async with asyncio.timeout(10):
        while (await gateway.get("/health/ready")).status != 200:  # noqa: ASYNC110  # the other side of a socket counts it
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mutant", [None, read_and_reserve_the_announced_length])
async def test_memory_is_held_for_arrived_bytes_not_for_announced_ones(
    gateway: Served, monkeypatch: pytest.MonkeyPatch, mutant: Any
) -> None:
    if mutant is not None:
        monkeypatch.setattr(ingest_handler, "read_body", mutant)
    async with connections(gateway, SLOW_CONNECTIONS, HEAD, b"Content-Length: 74900\r\n\r\n{"):
        async with asyncio.timeout(5):
            while gateway.budget.reserved_bytes < (SLOW_CONNECTIONS if mutant is None else 2 * 74_900):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

        answer = await gateway.post("/b", {**BATCH, "padding": "x" * 500})

    assert answer.status == (200 if mutant is None else 503), answer.body


async def test_slow_strangers_take_nothing_from_requests_with_a_token(gateway: Served) -> None:
    async with connections(gateway, SLOW_CONNECTIONS, STRANGER, b"Content-Length: 9900\r\n\r\n{"):
        with_token = await gateway.post("/b", BATCH)
        without = await gateway.post("/b", BODY_TOKEN, headers={})

        assert (with_token.status, without.status) == (200, 200)
        assert gateway.budget.reserved_bytes == 0
        assert (await gateway.get("/health/ready")).status == 200


async def test_stalled_stranger_gives_way_to_a_request_with_a_body_token(gateway: Served) -> None:
    stalled = [STRANGER, b"Content-Length: 9900\r\n\r\n", b" " * 9800]
    async with connections(gateway, 1, *stalled) as [oldest], connections(gateway, 10, *stalled):
        async with asyncio.timeout(5):
            head = await oldest.readuntil(b"\r\n\r\n")
        answer = await gateway.post("/b", BODY_TOKEN, headers={})

    assert head.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 1\r\n" in head
    assert answer.status == 200
    assert overloaded(gateway, "unauthenticated") >= 1
    assert overloaded(gateway, "memory") == 0


async def test_body_of_a_stranger_is_not_parsed(gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def parse(body: bytes, **named: Any) -> Any:
        parsed.append(len(body))
        return original(body, **named)

    original = envelope.parse_envelope
    monkeypatch.setattr(ingest_handler, "parse_envelope", parse)
    deep = json.dumps(BATCH).encode()[:-2] + b"," + b"[" * 1200 + b"]" * 1200 + b"]"
    packed = {"Content-Encoding": "br"}

    stranger = await gateway.post("/b", brotli.compress(deep + b"}"), headers=packed)
    wrong = await gateway.post("/b", brotli.compress(deep + b',"writeKey":"seq_dev_unknown"}'), headers=packed)
    assert (stranger.status, wrong.status, parsed) == (401, 401, [])

    known = await gateway.post("/b", brotli.compress(deep + b',"writeKey":"%b"}' % TOKEN.encode()), headers=packed)
    assert (known.status, len(parsed)) == (200, 1)


async def test_token_of_an_item_admits_no_batch(gateway: Served) -> None:
    for fault in ("", ',"a":NaN'):
        body = f'{{"batch":[{{"type":"track","userId":"u","event":"e","writeKey":"{TOKEN}"{fault}}}]}}'

        assert (await gateway.post("/b", body.encode(), headers={})).status == 401

    assert gateway.written() == []


async def test_body_without_a_token_in_the_headers_is_limited_after_decompression(gateway: Served) -> None:
    body = json.dumps({**BODY_TOKEN, "padding": "x" * SETTINGS.wire_limit_bytes}).encode()
    answers = [
        await gateway.post("/b", body, headers={}),
        await gateway.post("/b", brotli.compress(body), headers={"Content-Encoding": "br"}),
    ]

    assert [(answer.status, answer.json["code"]) for answer in answers] == [(413, "body_too_large")] * 2
    assert "`Authorization` header" in answers[0].json["message"]
    assert (await gateway.post("/b", body)).status == 200


async def test_sdk_batches_with_the_token_in_the_body_are_accepted() -> None:
    padding = {"properties": {"padding": "x" * 4_700}}
    body = {"batch": [track(**padding) for _ in range(100)], "sentAt": "2026-01-31T12:00:00Z", "writeKey": TOKEN}
    assert 475_000 < len(json.dumps(body)) < 512_000
    async with serving() as gateway:
        answers = await asyncio.gather(*(gateway.post("/v1/batch", body, headers={}) for _ in range(10)))

    assert [answer.status for answer in answers] == [200] * 10


@pytest.mark.parametrize(("share", "status"), [(150_000, 503), (300_000, 200)], ids=["half", "control: no share"])
async def test_project_at_its_share_is_refused_and_other_projects_are_not(
    monkeypatch: pytest.MonkeyPatch, share: int, status: int
) -> None:
    monkeypatch.setattr(ingest_handler, "project_share", lambda _: share)
    body = {**BATCH, "padding": "x" * 60_000}
    async with serving(SETTINGS) as gateway:
        gateway.publisher.hold()
        waiting = [asyncio.create_task(gateway.post("/b", body)) for _ in range(2)]
        await bodies_read(gateway, 120_000)
        third = asyncio.create_task(gateway.post("/b", body))
        if status == 503:
            await third
        other = asyncio.create_task(gateway.post("/b", body, headers=OTHER))
        await bodies_read(gateway, 180_000 if status == 503 else 240_000)
        gateway.publisher.resume()
        answers = [answer.status for answer in await asyncio.gather(*waiting, other)]

        assert answers == [200, 200, 200]
        assert (await third).status == status
        assert overloaded(gateway, "project_share") == (status == 503)
        assert (await gateway.get("/health/ready")).status == 200


@pytest.mark.parametrize("covers", [True, False], ids=["records", "control: body only"])
async def test_records_that_are_larger_than_their_body_count_towards_the_share(
    gateway: Served, monkeypatch: pytest.MonkeyPatch, *, covers: bool
) -> None:
    if not covers:
        monkeypatch.setattr(Reservation, "cover", lambda *_: None)

    def charge_and_publish(records: Any) -> Any:
        gateway.budget.charge(sum(len(value) for of_topic in records.values() for _, value in of_topic))
        return publish(records)

    publish = gateway.publisher.publish
    monkeypatch.setattr(gateway.publisher, "publish", charge_and_publish)
    amplified = {"batch": [track(messageId=f"m-{number}") for number in range(90)], "context": {"padding": "x" * 2000}}
    assert len(json.dumps(amplified)) < 10_000
    gateway.publisher.hold()
    waiting = asyncio.create_task(gateway.post("/b", amplified))
    await bodies_read(gateway, 5_000)
    next_one = asyncio.create_task(gateway.post("/b", {**BATCH, "padding": "x" * 5_000}))
    if covers:
        assert (await next_one).status == 503
    other = asyncio.create_task(gateway.post("/b", {**BATCH, "padding": "x" * 10_000}, headers=OTHER))
    await bodies_read(gateway, 15_000)
    gateway.publisher.resume()

    assert ((await waiting).status, (await other).status) == (200, 200)
    assert (await next_one).status == (503 if covers else 200)
    assert overloaded(gateway, "project_share") == covers


async def test_gateway_is_not_ready_while_it_refuses_requests_for_memory(
    gateway: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_REFUSAL_SECONDS", 0.3)
    gateway.budget.charge(SETTINGS.in_flight_limit_bytes)
    exhausted = await gateway.get("/health/ready")
    refused = await gateway.post("/b", BATCH)
    gateway.budget.release(SETTINGS.in_flight_limit_bytes)
    just_refused = await gateway.get("/health/ready")

    assert [(answer.status, answer.json["code"]) for answer in (exhausted, refused, just_refused)] == [
        (503, "overloaded")
    ] * 3
    assert overloaded(gateway, "memory") >= 1
    await eventually_ready(gateway)
    assert (await gateway.post("/b", BATCH)).status == 200


async def test_nothing_is_held_after_every_kind_of_end() -> None:
    settings = replace(SETTINGS, body_stall_timeout_seconds=0.2)
    async with serving(settings) as gateway:
        for head in (STRANGER, HEAD):
            async with connections(gateway, 5, head, b"Content-Length: 9000\r\n\r\n{") as readers:
                async with asyncio.timeout(5):
                    assert [(await reader.readline())[:12] for reader in readers] == [b"HTTP/1.1 408"] * 5
            async with connections(gateway, 5, head, b"Content-Length: 9000\r\n\r\n{"):
                await asyncio.sleep(0.05)
        for headers in ({}, BEARER):
            await gateway.post("/b", b"{", headers=headers)
            await gateway.post("/b", b"x", headers={**headers, "Content-Encoding": "gzip"})
            await gateway.post("/b", BODY_TOKEN, headers=headers)
        async with asyncio.timeout(5):
            while "sequence_gateway_in_flight_bytes 0.0" not in gateway.metrics.render().decode():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
