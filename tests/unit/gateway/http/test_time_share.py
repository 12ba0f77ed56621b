"""Shares of the event loop's time, with a clock that the tests set."""

from __future__ import annotations

import asyncio

import pytest

from gateway.http.time_share import TimeShare


async def test_work_waits_for_the_rest_that_the_work_before_it_owes() -> None:
    now, waits = 100.0, list[float]()

    def work() -> str:
        nonlocal now
        now += 1.0
        return "done"

    async def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    share = TimeShare(0.25, lambda: now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", sleep)
        assert [await share.run(work) for _ in range(3)] == ["done"] * 3

    assert waits == [3.0, 3.0]


async def test_short_work_does_not_wait_for_a_timer() -> None:
    now = 100.0

    def work() -> None:
        nonlocal now
        now += 0.0001

    share = TimeShare(0.25, lambda: now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", None)
        for _ in range(10):
            await share.run(work)


async def test_work_of_usual_length_is_free() -> None:
    now = 100.0

    def work() -> None:
        nonlocal now
        now += 0.02

    share = TimeShare(0.25, lambda: now, free_seconds=0.025)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "sleep", None)
        for _ in range(10):
            await share.run(work)
