"""The attacks: the reply of each, its duration and its effect on the memory of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tests.hostile.bodies import BODIES, GOOD, Body
from tests.hostile.target import Pause, Reply, Target, read_reply
from tests.hostile.wire import WIRES, Wire

VARIABLES = {"SEQUENCE_GATEWAY_HEAD_TIMEOUT_SECONDS": "8", "SEQUENCE_GATEWAY_BODY_STALL_TIMEOUT_SECONDS": "2"}
"""Settings of the gateway under attack: short timeouts keep the slow attacks short."""
SLOW_CLIENTS = {"SEQUENCE_GATEWAY_HEAD_TIMEOUT_SECONDS": "600"}
"""For `attack_with_connections`: every connection stays open, however long opening all of them takes."""
CONNECTIONS = 10_000
OPENED_AT_ONCE = 200
PIPELINED = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an attack."""

    reply: Reply
    seconds: float
    before_mib: float
    after_mib: float

    @property
    def answer(self) -> str:
        """Status and code."""
        return f"{self.reply.status} {self.reply.code}".strip()

    def matches(self, expected: str) -> bool:
        """Return whether the reply is the *expected* one; a status without a code allows every code."""
        return self.answer == expected or (" " not in expected and str(self.reply.status) == expected)


Attack = Callable[[Target], Awaitable[Reply]]


async def carry_out(target: Target, attack: Attack) -> Outcome:
    """Carry out one attack."""
    before = target.memory_mib()
    started = time.perf_counter()
    reply = await attack(target)
    return Outcome(reply, time.perf_counter() - started, before, target.memory_mib())


def with_body(body: Body) -> Attack:
    """Return the attack that sends *body*."""
    content = body.make()
    encoding = [f"Content-Encoding: {body.encoding}"] if body.encoding else []

    async def attack(target: Target) -> Reply:
        return await target.exchange(target.post(content, *encoding))

    return attack


def on_wire(wire: Wire) -> Attack:
    """Return the attack that sends the parts of *wire*."""

    async def attack(target: Target) -> Reply:
        return await target.exchange(*wire.parts(target))

    return attack


async def attack_with_connections(target: Target) -> Reply:
    """Open 10,000 connections, half of them idle and half with an unfinished request, and send one request more.

    The gateway runs with `SLOW_CLIENTS`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, hard - 1000)
    opened: list[asyncio.StreamWriter] = []
    try:
        while len(opened) < wanted:
            connections = [asyncio.open_connection("127.0.0.1", target.port) for _ in range(OPENED_AT_ONCE)]
            for number, (_, writer) in enumerate(await asyncio.gather(*connections)):
                if number % 2:
                    writer.write(b"POST /event/batch HTTP/1.1\r\nHost: g\r\n")
                opened.append(writer)
        reply = await target.exchange(target.post(GOOD))
        assert target.open_files() >= wanted
        return reply
    finally:
        for writer in opened:
            writer.close()
        with contextlib.suppress(OSError):
            await asyncio.gather(*(writer.wait_closed() for writer in opened), return_exceptions=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def pipelined(target: Target) -> Reply:
    """Send `PIPELINED` requests at once on one connection, expect 200 for each and return the last reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        writer.write(target.post(GOOD) * PIPELINED)
        for _ in range(PIPELINED - 1):
            reply = await read_reply(reader)
            assert reply.status == 200, reply
        return await read_reply(reader)
    finally:
        writer.close()


async def aborted(target: Target) -> Reply:
    """Abort 1,000 requests in the middle of their bodies, then send one request."""
    for _ in range(5):
        connections = [asyncio.open_connection("127.0.0.1", target.port) for _ in range(OPENED_AT_ONCE)]
        for _, writer in await asyncio.gather(*connections):
            writer.write(target.head(f"Content-Length: {2**20}") + b"x" * 2**16)
            writer.transport.abort()
    return await target.exchange(Pause(0), target.post(GOOD))


Attacks = Mapping[str, tuple[str, Callable[[], Attack]]]
"""By name: the expected reply, and what makes the attack."""

ATTACKS: Attacks = {
    **{body.name: (body.expected, partial(with_body, body)) for body in BODIES},
    **{wire.name: (wire.expected, partial(on_wire, wire)) for wire in WIRES},
    "500 pipelined requests": ("200", lambda: pipelined),
    "1,000 aborted requests": ("200", lambda: aborted),
}
CONNECTION_ATTACKS: Attacks = {"10,000 connections": ("200", lambda: attack_with_connections)}
"""Attacks on a gateway with the settings `SLOW_CLIENTS`."""
