"""What requests without a token in their headers hold together, with a clock that the tests set."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import OverloadedError
from gateway.http.sender_budget import SenderBudget, TimeShare

REQUEST = SenderBudget.REQUEST_BYTES


def test_oldest_request_that_receives_gives_way_to_a_new_one() -> None:
    budget, ended = SenderBudget(3 * REQUEST), list[str]()
    for name in ("first", "second", "third"):
        budget.open().on_give_way = lambda name=name: ended.append(name)  # type: ignore[misc]

    budget.open()
    budget.open().reserve(0)

    assert ended == ["first", "second"]
    assert budget.reserved_bytes == 3 * REQUEST


def test_request_that_gave_way_holds_nothing_and_cannot_reserve() -> None:
    budget = SenderBudget(REQUEST)
    old = budget.open()
    new = budget.open()

    with pytest.raises(OverloadedError):
        old.reserve(1)
    old.release()
    assert budget.reserved_bytes == REQUEST

    new.release()
    assert budget.reserved_bytes == 0


def test_request_with_a_complete_body_stays_and_the_new_one_is_refused() -> None:
    budget = SenderBudget(2 * REQUEST)
    for _ in range(2):
        budget.open().received()

    with pytest.raises(OverloadedError):
        budget.open()

    assert budget.reserved_bytes == 2 * REQUEST


def test_body_larger_than_what_others_can_give_is_refused() -> None:
    budget = SenderBudget(2 * REQUEST)
    budget.open().received()
    large = budget.open()

    with pytest.raises(OverloadedError):
        large.reserve(REQUEST)
    large.release()

    assert budget.reserved_bytes == REQUEST


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
