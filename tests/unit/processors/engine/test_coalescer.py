"""The coalescer: what is submitted during a write goes together into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from processors.engine.coalescer import Coalescer, finish_despite_cancel


class Writer:
    """Records what is written, and ends each write when the test allows it."""

    def __init__(self) -> None:
        self.writes: list[list[str]] = []
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def write(self, items: Sequence[str]) -> None:
        self.writes.append(list(items))
        self.started.set()
        await self.may_end.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def writer() -> Writer:
    return Writer()


async def submit(coalescer: Coalescer[str], items: str) -> list[asyncio.Task[None]]:
    """Submit each letter of *items* and let all of them come to wait."""
    tasks = [asyncio.create_task(coalescer.submit(item)) for item in items]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_items_submitted_during_a_write_are_the_next_write(writer: Writer) -> None:
    coalescer = Coalescer(writer.write)
    first = await submit(coalescer, "ab")
    later = await submit(coalescer, "cd")
    assert writer.writes == [["a", "b"]]
    assert not any(task.done() for task in (*first, *later))

    writer.may_end.set()
    await asyncio.gather(*first, *later)
    assert writer.writes == [["a", "b"], ["c", "d"]]


async def test_items_that_do_not_fit_wait_for_a_later_write(writer: Writer) -> None:
    writer.may_end.set()
    coalescer = Coalescer(
        writer.write, fits=lambda chosen, item: len(chosen) < 2 and item.isupper() == chosen[0].isupper()
    )
    await asyncio.gather(*await submit(coalescer, "aBcDe"))
    assert writer.writes == [["a", "c"], ["B", "D"], ["e"]]


async def test_error_reaches_every_waiter_and_the_next_write_succeeds(writer: Writer) -> None:
    writer.error = OSError("disk full")
    writer.may_end.set()
    coalescer = Coalescer(writer.write)
    outcomes = await asyncio.gather(*await submit(coalescer, "ab"), return_exceptions=True)
    assert outcomes == [writer.error, writer.error]

    writer.error = None
    await coalescer.submit("c")
    assert writer.writes == [["a", "b"], ["c"]]


async def test_cancelled_waiter_does_not_cancel_the_others(writer: Writer) -> None:
    coalescer = Coalescer(writer.write)
    cancelled, other = await submit(coalescer, "ab")
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled

    writer.may_end.set()
    await other
    assert writer.writes == [["a", "b"]]


async def test_item_cancelled_before_its_write_is_not_written(writer: Writer) -> None:
    coalescer = Coalescer(writer.write)
    first, second, third = [*await submit(coalescer, "a"), *await submit(coalescer, "bc")]
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second

    writer.may_end.set()
    await asyncio.gather(first, third)
    assert writer.writes == [["a"], ["c"]]


async def test_cancelled_waiter_waits_for_the_end_of_its_write(writer: Writer) -> None:
    coalescer = Coalescer(writer.write, finish_on_cancel=True)
    (work,) = await submit(coalescer, "a")
    work.cancel()
    await asyncio.wait([work], timeout=0.05)
    assert not work.done()

    writer.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_first_write_after_a_pause_waits_for_the_linger(writer: Writer) -> None:
    writer.may_end.set()
    coalescer = Coalescer(writer.write, linger_seconds=0.01)
    tasks = [*await submit(coalescer, "a"), *await submit(coalescer, "b")]
    assert writer.writes == []
    await asyncio.gather(*tasks)
    assert writer.writes == [["a", "b"]]


async def test_cancelled_caller_waits_for_work_that_must_finish() -> None:
    may_end = asyncio.Event()
    ended = []

    async def work() -> None:
        await may_end.wait()
        ended.append(True)

    caller = asyncio.create_task(finish_despite_cancel(work()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller], timeout=0.05)
    assert not caller.done()

    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended == [True]
