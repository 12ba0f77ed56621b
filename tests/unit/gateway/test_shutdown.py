"""The time of a shutdown: a shared limit, and a delay that a second signal ends."""

from __future__ import annotations

import asyncio

from gateway.settings import GatewaySettings
from gateway.shutdown import CANCEL_SECONDS, CLOSE_SECONDS, LIMIT_SECONDS, Shutdown
from schemas.settings import declarations


async def test_time_to_drain_is_what_the_limit_leaves_to_the_other_steps() -> None:
    shutdown = Shutdown(CANCEL_SECONDS + CLOSE_SECONDS + 5)
    assert shutdown.seconds_to_drain() == 5

    shutdown.request()

    left = shutdown.seconds_to_drain()
    assert 0 < left < 5
    shutdown.request()
    assert shutdown.seconds_to_drain() <= left


async def test_time_to_drain_is_not_negative() -> None:
    shutdown = Shutdown(CANCEL_SECONDS)
    shutdown.request()

    assert shutdown.seconds_to_drain() == 0


def test_longest_delay_leaves_time_to_drain() -> None:
    (declared,) = (each for each in declarations(GatewaySettings) if each.variable.endswith("SHUTDOWN_DELAY_SECONDS"))

    assert declared.range == "between 0 and 10"
    assert LIMIT_SECONDS - CANCEL_SECONDS - CLOSE_SECONDS > 10 > float(declared.default)


async def test_second_signal_ends_the_delay() -> None:
    shutdown = Shutdown()
    shutdown.request()
    waiting = asyncio.ensure_future(shutdown.wait_for_delay(600))
    await asyncio.sleep(0)
    assert not waiting.done()

    shutdown.request()

    async with asyncio.timeout(10):
        await waiting


async def test_delay_of_zero_ends_at_once() -> None:
    async with asyncio.timeout(10):
        await Shutdown().wait_for_delay(0)
