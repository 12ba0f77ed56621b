"""A good sender beside attackers: every request of it must be answered with 200, and its latency is printed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import brotli

from tests.hostile.bodies import GOOD
from tests.hostile.target import Target, read_reply
from tests.unit.gateway.ingest.worst_bodies import FAMILIES

SENDERS = 4
SLOW_CONNECTIONS = 33
BODY_BYTES = 4 * 2**20
GOOD_INTERVAL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Service:
    """What a good sender saw."""

    statuses: Counter[int]
    seconds: Sequence[float]

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of its latency."""
        return 1000 * sorted(self.seconds)[len(self.seconds) * 99 // 100]


def deep_body(size: int) -> bytes:
    """Return about 41 bytes that decompress to *size* bytes of arrays, 1,200 levels deep each."""
    packed: bytes = brotli.compress(b'{"batch":[' + b",".join([b"[" * 1200 + b"]" * 1200] * (size // 2401 - 1)) + b"]}")
    return packed


def worst_bodies() -> list[bytes]:
    """Return the bodies of 4 MiB that take longest to parse and validate, compressed."""
    names = ("elements of 1000 levels", "elements of 1200 levels", "many items of 31 levels", "large items of 1e200")
    return [brotli.compress(FAMILIES[name](BODY_BYTES)[:BODY_BYTES], quality=4) for name in names]


async def send_for(target: Target, seconds: float) -> Service:
    """Send good requests, one after the other on one connection, for *seconds*."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    statuses, latencies = Counter[int](), list[float]()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            started = time.perf_counter()
            writer.write(target.post(GOOD))
            statuses[(await read_reply(reader)).status] += 1
            latencies.append(time.perf_counter() - started)
            await asyncio.sleep(GOOD_INTERVAL_SECONDS)
    finally:
        writer.close()
    return Service(statuses, latencies)


async def _attack(target: Target, requests: Sequence[bytes], replies: Counter[int]) -> None:
    number = 0
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        try:
            while True:
                writer.write(requests[number % len(requests)])
                number += 1
                replies[(await read_reply(reader)).status] += 1
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def senders(target: Target, requests: Sequence[bytes]) -> AsyncIterator[Counter[int]]:
    """Run `SENDERS` that send *requests* without a pause for the block."""
    replies = Counter[int]()
    tasks = [asyncio.create_task(_attack(target, requests, replies)) for _ in range(SENDERS)]
    try:
        yield replies
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def slow_connections(target: Target, head: bytes) -> AsyncIterator[None]:
    """Keep `SLOW_CONNECTIONS` that have sent *head* and one byte of their body."""
    opened = [await asyncio.open_connection("127.0.0.1", target.port) for _ in range(SLOW_CONNECTIONS)]
    for _, writer in opened:
        writer.write(head + b"{")
    try:
        yield
    finally:
        for _, writer in opened:
            writer.close()


def stranger(body: bytes) -> bytes:
    """Return a request without a token that carries *body* in brotli."""
    return (
        b"POST /event/batch HTTP/1.1\r\nHost: g\r\nContent-Encoding: br\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body


Neighbours = Callable[[Target, AsyncExitStack], Awaitable[Counter[int]]]


async def strangers(target: Target, stack: AsyncExitStack) -> Counter[int]:
    """Start four senders of the 41 bytes without a token, below and above the limit, and 33 slow connections."""
    announced = b"POST /b HTTP/1.1\r\nHost: g\r\nContent-Length: 500000\r\n\r\n"
    await stack.enter_async_context(slow_connections(target, announced))
    return await stack.enter_async_context(
        senders(target, [stranger(deep_body(size)) for size in (BODY_BYTES, 512_000)])
    )


async def customers(target: Target, stack: AsyncExitStack) -> Counter[int]:
    """Start four senders of the worst bodies with a valid token."""
    requests = [target.post(body, "Content-Encoding: br") for body in worst_bodies()]
    return await stack.enter_async_context(senders(target, requests))
