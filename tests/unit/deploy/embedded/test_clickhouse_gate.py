"""The gate of the embedded server: no query runs while the engine is opened anew."""

from __future__ import annotations

import asyncio

import pytest

from deploy.embedded.clickhouse.gate import Gate


async def test_gate_closes_once_no_query_runs_and_lets_none_begin() -> None:
    gate, done, order = Gate(), asyncio.Event(), []

    async def query(name: str) -> None:
        async with gate.query():
            order.append(name)
            if name == "first":
                await done.wait()

    async def close() -> None:
        async with gate.closed(60):
            order.append("closed")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            order.append("opening")

    first = asyncio.create_task(query("first"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(close())
    await asyncio.sleep(0)
    second = asyncio.create_task(query("second"))
    await asyncio.sleep(0)
    assert order == ["first"]
    done.set()
    await asyncio.gather(first, second, closing)
    assert order == ["first", "closed", "opening", "second"]


async def test_gate_that_cannot_close_in_time_is_open_again() -> None:
    gate = Gate()
    async with gate.query():
        with pytest.raises(TimeoutError):
            async with gate.closed(0):
                pytest.fail("a query runs")
        async with gate.query():
            pass
    async with gate.closed(60):
        pass


async def test_cancelled_query_no_longer_keeps_the_gate_open() -> None:
    gate = Gate()

    async def query() -> None:
        async with gate.query():
            await asyncio.Event().wait()

    running = asyncio.create_task(query())
    await asyncio.sleep(0)
    running.cancel()
    async with gate.closed(60):
        assert running.done()
