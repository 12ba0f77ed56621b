"""Restart policy of the supervisor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.backoff import (
    FIRST_DELAY_SECONDS,
    HEALTHY_SECONDS,
    LONGEST_DELAY_SECONDS,
    START_LIMIT_BURST,
    Backoff,
    describe_exit,
)

UPTIMES = st.lists(st.floats(0, 2 * HEALTHY_SECONDS), min_size=1, max_size=200)


def after(uptimes: list[float]) -> Backoff:
    backoff = Backoff()
    for seconds in uptimes:
        backoff = backoff.after_exit(seconds)
    return backoff


def test_each_consecutive_failure_doubles_the_delay() -> None:
    delays = [after([0.1] * failures).delay_seconds for failures in (1, 2, 3, 4)]

    assert delays == [0.5, 1.0, 2.0, 4.0]


def test_healthy_uptime_resets_the_failure_count() -> None:
    backoff = after([0.1] * 6 + [HEALTHY_SECONDS])

    assert backoff.delay_seconds == FIRST_DELAY_SECONDS
    assert not backoff.exceeds_start_limit


@given(UPTIMES)
def test_delay_is_bounded(uptimes: list[float]) -> None:
    assert FIRST_DELAY_SECONDS <= after(uptimes).delay_seconds <= LONGEST_DELAY_SECONDS


@given(UPTIMES)
def test_early_exit_never_shortens_the_delay(uptimes: list[float]) -> None:
    assert after([*uptimes, 0.0]).delay_seconds >= after(uptimes).delay_seconds


def test_start_is_given_up_after_four_failures() -> None:
    assert not after([1.0] * (START_LIMIT_BURST - 1)).exceeds_start_limit
    assert after([1.0] * START_LIMIT_BURST).exceeds_start_limit


def test_delay_is_finite_after_thousands_of_failures() -> None:
    assert Backoff(failures=100_000).delay_seconds == LONGEST_DELAY_SECONDS


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (0, "exited with code 0"),
        (2, "exited with code 2"),
        (-9, "was killed by signal 9"),
        (137, "was killed by signal 9"),
    ],
)
def test_exit_code_is_described_in_words(exit_code: int, words: str) -> None:
    assert describe_exit(exit_code) == words
