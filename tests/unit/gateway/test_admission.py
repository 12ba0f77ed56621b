"""What is let in, on clocks of the test's own."""

from __future__ import annotations

import pytest

from gateway.admission import MemoryBudget, ProjectRates, TokenBucket
from gateway.errors import OverloadedError, RateLimitedError


def test_a_budget_refuses_what_would_exceed_it_and_holds_none_of_that() -> None:
    budget = MemoryBudget(10)
    budget.take(8)

    with pytest.raises(OverloadedError):
        budget.take(3)

    assert budget.held_bytes == 8
    budget.take(2)
    budget.release(10)
    assert budget.held_bytes == 0


def test_a_burst_is_let_in_and_then_the_rate_holds() -> None:
    bucket = TokenBucket(per_second=10, burst=5, now=0)
    bucket.take(5, now=0)

    with pytest.raises(RateLimitedError) as refused:
        bucket.take(1, now=0)

    assert refused.value.retry_after_seconds == pytest.approx(0.1)
    bucket.take(1, now=0.1)


def test_a_batch_larger_than_the_burst_is_let_in_and_paid_for_afterwards() -> None:
    bucket = TokenBucket(per_second=10, burst=5, now=0)
    bucket.take(100, now=0)

    with pytest.raises(RateLimitedError) as refused:
        bucket.take(1, now=1)

    assert refused.value.retry_after_seconds == pytest.approx(8.6)
    bucket.take(1, now=1 + 8.6)


def test_time_without_requests_fills_the_bucket_no_further_than_its_burst() -> None:
    bucket = TokenBucket(per_second=10, burst=5, now=0)
    bucket.take(5, now=0)
    bucket.take(5, now=1000)

    with pytest.raises(RateLimitedError):
        bucket.take(1, now=1000)


def test_a_rate_below_one_a_second_lets_single_items_in() -> None:
    bucket = TokenBucket(per_second=0.5, burst=0.5, now=0)
    bucket.take(1, now=0)

    with pytest.raises(RateLimitedError):
        bucket.take(1, now=1.9)

    bucket.take(1, now=2)


def test_projects_have_rates_of_their_own() -> None:
    rates = ProjectRates()
    rates.take("a", (1, 1), 1, now=0)

    with pytest.raises(RateLimitedError):
        rates.take("a", (1, 1), 1, now=0)

    rates.take("b", (1, 1), 1, now=0)


def test_a_changed_rate_counts_at_once() -> None:
    rates = ProjectRates()
    rates.take("a", (1, 1), 1, now=0)

    rates.take("a", (100, 100), 100, now=0)
