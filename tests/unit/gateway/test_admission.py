"""Admission control, with clocks that the tests set."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from gateway.admission import LoopThrottle, MemoryBudget, ProjectRates, ProjectShares, Reservation, TokenBucket
from gateway.errors import OverloadedError, RateLimitedError


def test_budget_rejects_a_reservation_above_its_limit_and_reserves_none_of_it() -> None:
    budget = MemoryBudget(10)
    budget.reserve(8)

    with pytest.raises(OverloadedError):
        budget.reserve(3)

    assert budget.reserved_bytes == 8
    budget.reserve(2)
    budget.release(10)
    assert budget.reserved_bytes == 0


def test_budget_charged_above_its_limit_rejects_requests_until_released() -> None:
    budget = MemoryBudget(10)
    budget.charge(11)

    with pytest.raises(OverloadedError):
        budget.check()

    budget.release(1)
    budget.check()


def test_budget_reports_every_refusal() -> None:
    budget, refusals = MemoryBudget(10), list[int]()
    budget.on_refusal = lambda: refusals.append(budget.reserved_bytes)
    budget.reserve(10)

    assert budget.is_exhausted
    with pytest.raises(OverloadedError):
        budget.reserve(1)

    assert refusals == [10]


def test_share_holds_the_larger_of_body_and_records_until_it_is_released() -> None:
    budget, shares = MemoryBudget(100), ProjectShares(50)
    one, next_one = (Reservation(budget, shares, "a") for _ in range(2))
    one.reserve(20)
    one.cover(15)
    next_one.reserve(30)
    next_one.release()
    next_one.reserve(1)
    next_one.check_share()

    one.cover(80)
    one.release_memory()
    with pytest.raises(OverloadedError, match="project"):
        next_one.check_share()
    with pytest.raises(OverloadedError, match="project"):
        next_one.reserve(1)

    one.release()
    next_one.release()
    next_one.reserve(50)


def test_project_above_its_share_is_refused_and_another_is_not() -> None:
    budget, shares = MemoryBudget(100), ProjectShares(50)
    one, more, other = (Reservation(budget, shares, project) for project in ("a", "a", "b"))
    one.reserve(40)

    with pytest.raises(OverloadedError, match="project"):
        more.reserve(11)

    other.reserve(50)
    assert budget.reserved_bytes == 90


def test_share_is_held_after_the_memory_is_released() -> None:
    budget, shares = MemoryBudget(100), ProjectShares(50)
    waiting, next_one = Reservation(budget, shares, "a"), Reservation(budget, shares, "a")
    waiting.reserve(50)
    waiting.release_memory()

    assert budget.reserved_bytes == 0
    with pytest.raises(OverloadedError, match="project"):
        next_one.reserve(1)

    waiting.release()
    next_one.reserve(50)
    next_one.release()
    assert budget.reserved_bytes == 0


def test_refused_reservation_leaves_nothing_after_its_release() -> None:
    budget, shares = MemoryBudget(10), ProjectShares(50)
    refused = Reservation(budget, shares, "a")
    with pytest.raises(OverloadedError):
        refused.reserve(11)
    refused.release()

    Reservation(MemoryBudget(50), shares, "a").reserve(50)


def test_burst_is_admitted_and_then_the_rate_holds() -> None:
    bucket = TokenBucket(per_second=10, burst=5, now=0)
    bucket.spend(5, now=0)

    with pytest.raises(RateLimitedError) as rejected:
        bucket.spend(1, now=0)

    assert rejected.value.retry_after_seconds == pytest.approx(0.1)
    bucket.spend(1, now=0.1)


def test_batch_larger_than_the_burst_is_admitted_and_leaves_a_debt() -> None:
    bucket = TokenBucket(per_second=10, burst=5, now=0)
    bucket.spend(100, now=0)

    with pytest.raises(RateLimitedError) as rejected:
        bucket.spend(1, now=1)

    assert rejected.value.retry_after_seconds == pytest.approx(8.6)
    bucket.spend(1, now=1 + 8.6)


def test_idle_time_fills_the_bucket_no_further_than_its_burst() -> None:
    bucket = TokenBucket(per_second=10, burst=5, now=0)
    bucket.spend(5, now=0)
    bucket.spend(5, now=1000)

    with pytest.raises(RateLimitedError):
        bucket.spend(1, now=1000)


def test_rate_below_one_per_second_admits_single_items() -> None:
    bucket = TokenBucket(per_second=0.5, burst=0.5, now=0)
    bucket.spend(1, now=0)

    with pytest.raises(RateLimitedError):
        bucket.spend(1, now=1.9)

    bucket.spend(1, now=2)


def test_check_spends_nothing() -> None:
    bucket = TokenBucket(per_second=1, burst=1, now=0)
    bucket.check(now=0)
    bucket.spend(1, now=0)

    with pytest.raises(RateLimitedError):
        bucket.check(now=0)


def test_projects_are_limited_separately() -> None:
    rates = ProjectRates()
    rates.spend("a", (1, 1), 1, now=0)

    with pytest.raises(RateLimitedError):
        rates.spend("a", (1, 1), 1, now=0)
    with pytest.raises(RateLimitedError):
        rates.check("a", (1, 1), now=0)

    rates.spend("b", (1, 1), 1, now=0)


def test_changed_rate_applies_immediately() -> None:
    rates = ProjectRates()
    rates.spend("a", (1, 1), 1, now=0)

    rates.spend("a", (100, 100), 100, now=0)


@pytest.mark.parametrize(
    ("size_bytes", "most"), [(LoopThrottle.LIMIT_BYTES, 1), (LoopThrottle.LIMIT_BYTES // 2 - 1024, 2)]
)
async def test_throttle_admits_callers_up_to_its_limit_per_loop_iteration_in_order(size_bytes: int, most: int) -> None:
    throttle, admitted = LoopThrottle(), list[int]()

    async def work(number: int) -> None:
        await throttle.next_tick(size_bytes)
        admitted.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    counts = []
    while len(admitted) < len(tasks):
        await asyncio.sleep(0)
        counts.append(len(admitted))

    assert admitted == [0, 1, 2, 3, 4]
    assert max(later - earlier for earlier, later in zip([0, *counts], counts, strict=False)) == most
    await asyncio.sleep(0)
    with pytest.raises(StopIteration):  # the throttle is free again, so this returns without waiting
        throttle.next_tick(size_bytes).send(None)


async def test_cancelled_waiter_releases_its_slot() -> None:
    throttle = LoopThrottle()
    await throttle.next_tick(LoopThrottle.LIMIT_BYTES)
    cancelled, waiting = (asyncio.create_task(throttle.next_tick(LoopThrottle.LIMIT_BYTES)) for _ in range(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    cancelled.cancel()

    await asyncio.wait_for(waiting, 1)
    await asyncio.sleep(0)
    await asyncio.wait_for(throttle.next_tick(LoopThrottle.LIMIT_BYTES), 1)


async def test_throttle_continues_after_work_that_raises() -> None:
    throttle, begun, reported = LoopThrottle(), list[int](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    def work(number: int) -> None:
        begun.append(number)
        if number in {1, 2, 5}:
            raise ValueError(number)

    for number in range(6):
        throttle.call(partial(work, number), LoopThrottle.LIMIT_BYTES // 2 - 1024)
        if number == 0:
            throttle.call(partial(begun.append, -1), LoopThrottle.LIMIT_BYTES)
    for _ in range(12):
        await asyncio.sleep(0)

    assert begun == [0, -1, 1, 2, 3, 4, 5]
    assert [str(error) for error in reported] == ["1", "2", "5"]
    await asyncio.wait_for(throttle.next_tick(LoopThrottle.LIMIT_BYTES), 1)
