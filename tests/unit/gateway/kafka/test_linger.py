"""Linger: batches of all partitions are flushed together, at a constant interval."""

from __future__ import annotations

import asyncio

import pytest

from gateway.kafka.linger import LINGER_SECONDS, Linger


async def test_first_flush_is_immediate() -> None:
    await asyncio.wait_for(Linger(seconds=60).wait(), 10)


async def test_flush_after_an_idle_linger_is_immediate() -> None:
    linger = Linger(seconds=0.5)
    await linger.wait()
    await asyncio.sleep(0.5)
    passed = list[str]()
    asyncio.get_running_loop().call_later(0.25, passed.append, "half a linger")

    await linger.wait()

    assert passed == []


async def test_consecutive_flushes_are_a_linger_apart() -> None:
    # From the start, because a busy machine may wake the test late after one flush and in time after the next.
    loop, linger, since_start = asyncio.get_running_loop(), Linger(), list[float]()
    started_at = loop.time()
    for _ in range(4):
        await linger.wait()
        since_start.append(loop.time() - started_at)

    # The event loop may run a callback early by the resolution of its clock.
    assert all(seconds > number * (LINGER_SECONDS - 0.001) for number, seconds in enumerate(since_start))


@pytest.mark.parametrize("idle_seconds", [0.0, 2 * LINGER_SECONDS])
async def test_waiting_partitions_are_flushed_in_one_loop_iteration(idle_seconds: float) -> None:
    iterations, flushed_in = 0, list[int]()
    linger = Linger()
    await linger.wait()
    await asyncio.sleep(idle_seconds)

    async def count_iterations() -> None:
        nonlocal iterations
        while True:
            await asyncio.sleep(0)
            iterations += 1

    async def wait_for_flush() -> None:
        await linger.wait()
        flushed_in.append(iterations)

    counting = asyncio.create_task(count_iterations())
    cancelled = asyncio.create_task(wait_for_flush())
    others = [asyncio.create_task(wait_for_flush()) for _ in range(3)]
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(*others)
    counting.cancel()

    assert len(flushed_in) == 3
    assert len(set(flushed_in)) == 1
