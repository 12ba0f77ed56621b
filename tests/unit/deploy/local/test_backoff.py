"""When a part that died starts again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.backoff import (
    FIRST_DELAY_SECONDS,
    HEALTHY_SECONDS,
    LONGEST_DELAY_SECONDS,
    SHOW_LOG_AFTER,
    START_LIMIT_BURST,
    Backoff,
    cause,
)

LIVES = st.lists(st.floats(0, 2 * HEALTHY_SECONDS), min_size=1, max_size=200)


def after(lives: list[float]) -> Backoff:
    restarts = Backoff()
    for lived_seconds in lives:
        restarts = restarts.after_death(lived_seconds)
    return restarts


def test_each_death_in_a_row_doubles_the_delay() -> None:
    delays = [after([0.1] * deaths).delay_seconds for deaths in (1, 2, 3, 4)]

    assert delays == [0.5, 1.0, 2.0, 4.0]


def test_a_long_life_forgives_the_deaths_before_it() -> None:
    restarts = after([0.1] * 6 + [HEALTHY_SECONDS])

    assert restarts.delay_seconds == FIRST_DELAY_SECONDS
    assert not restarts.keeps_dying


@given(LIVES)
def test_the_delay_is_bounded_whatever_happens(lives: list[float]) -> None:
    assert FIRST_DELAY_SECONDS <= after(lives).delay_seconds <= LONGEST_DELAY_SECONDS


@given(LIVES)
def test_one_more_early_death_never_shortens_the_delay(lives: list[float]) -> None:
    assert after([*lives, 0.0]).delay_seconds >= after(lives).delay_seconds


def test_a_part_that_keeps_dying_is_told_from_one_that_died_once() -> None:
    assert not after([1.0]).keeps_dying
    assert after([1.0] * SHOW_LOG_AFTER).keeps_dying
    assert not after([1.0] * (START_LIMIT_BURST - 1)).is_hopeless
    assert after([1.0] * START_LIMIT_BURST).is_hopeless


def test_a_delay_stays_finite_after_thousands_of_deaths() -> None:
    assert Backoff(deaths=100_000).delay_seconds == LONGEST_DELAY_SECONDS


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (0, "exited with code 0"),
        (2, "exited with code 2"),
        (-9, "was ended by signal 9"),
        (137, "was ended by signal 9"),
    ],
)
def test_an_exit_code_is_put_into_words(exit_code: int, words: str) -> None:
    assert cause(exit_code) == words
