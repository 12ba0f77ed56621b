"""Turns: one in each round of the event loop, in order."""

from __future__ import annotations

import asyncio

import pytest

from gateway.kafka import accumulator
from gateway.kafka.accumulator import LONGEST_SPACING_SECONDS, SPACING_SECONDS, Linger
from gateway.turns import LoopThrottle


async def test_one_goes_on_in_each_round_and_in_order() -> None:
    turns, gone = LoopThrottle(), list[int]()

    async def work(number: int) -> None:
        await turns.take()
        gone.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    counts = []
    while len(gone) < len(tasks):
        await asyncio.sleep(0)
        counts.append(len(gone))

    assert gone == [0, 1, 2, 3, 4]
    assert all(later - earlier <= 1 for earlier, later in zip([0, *counts], counts, strict=False))
    await asyncio.sleep(0)
    with pytest.raises(StopIteration):  # it takes its turn without waiting
        turns.take().send(None)


async def test_who_leaves_the_line_costs_nobody_a_turn() -> None:
    turns = LoopThrottle()
    await turns.take()
    leaving, staying = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
    await asyncio.sleep(0)
    assert not staying.done()
    leaving.cancel()

    await asyncio.wait_for(staying, 1)
    await asyncio.sleep(0)
    await asyncio.wait_for(turns.take(), 1)


async def test_batches_wait_while_another_connection_may_bring_more_but_not_for_long() -> None:
    loop = asyncio.get_running_loop()
    pace = Linger(lambda: 2)
    await pace.wait()
    began = loop.time()
    pace.joined()
    await pace.wait()
    assert loop.time() - began > LONGEST_SPACING_SECONDS - 0.001


async def test_batches_do_not_wait_once_every_connection_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accumulator, "LONGEST_SPACING_SECONDS", 60.0)
    loop = asyncio.get_running_loop()
    pace = Linger(lambda: 2)
    pace.joined()
    pace.joined()
    await pace.wait()
    began = loop.time()
    pace.joined()
    waiting = asyncio.create_task(pace.wait())
    await asyncio.sleep(2 * SPACING_SECONDS)
    assert not waiting.done()
    pace.joined()
    await asyncio.wait_for(waiting, 10)
    pace.joined()
    pace.joined()
    await asyncio.wait_for(pace.wait(), 10)
    assert loop.time() - began > 3 * SPACING_SECONDS - 0.001


async def test_batches_that_are_late_set_out_together_all_the_same() -> None:
    rounds, left = 0, list[int]()
    pace = Linger(lambda: 9)
    await pace.wait()
    await asyncio.sleep(2 * LONGEST_SPACING_SECONDS)

    async def count() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    async def set_out() -> None:
        await pace.wait()
        left.append(rounds)

    counting = asyncio.create_task(count())
    given_up = asyncio.create_task(set_out())
    others = [asyncio.create_task(set_out()) for _ in range(3)]
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(*others)
    counting.cancel()

    assert len(left) == 3
    assert len(set(left)) == 1
