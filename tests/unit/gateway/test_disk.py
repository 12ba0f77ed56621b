"""When gateways refuse requests for the disk of a broker: below the limit, until a quarter more is free."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.disk import (
    ASK_NEAR_SECONDS,
    ASK_SECONDS,
    FORGET_SECONDS,
    Answer,
    FreeSpace,
    Volume,
    is_low,
    resume_bytes,
)

LIMIT = 1000
RESUME = 1250
FREE = st.integers(0, 3000)


def answer(free_bytes: int, broker: int = 1) -> Answer:
    return Answer(broker, [Volume(broker, "/kafka", free_bytes, 100_000)])


def space_after(*free: int) -> FreeSpace:
    space = FreeSpace(LIMIT)
    for at, each in enumerate(free):
        space.update([answer(each)], float(at))
    return space


def changes(free: list[int], *, hysteresis: bool) -> int:
    """Return how often requests begin or end to be refused while the free space has these values."""
    low, count = False, 0
    for each in free:
        now = is_low(Volume(1, "/kafka", each, 100_000), LIMIT, was_low=low and hysteresis)
        count += now is not low
        low = now
    return count


@given(st.lists(FREE), FREE)
def test_space_below_the_limit_refuses_and_above_the_second_one_accepts(before: list[int], now: int) -> None:
    was_low = space_after(*before).is_low

    assert space_after(*before, now).is_low == (now < LIMIT or (was_low and now < RESUME))


@given(st.booleans(), st.lists(st.integers(LIMIT, RESUME - 1)))
def test_space_between_the_limits_changes_nothing(was_low: bool, between: list[int]) -> None:  # noqa: FBT001
    first = 0 if was_low else 3000

    assert space_after(first, *between).is_low == was_low


def test_control_without_hysteresis_each_step_at_the_limit_is_a_change() -> None:
    swinging = [LIMIT - 1, LIMIT + 1] * 10

    assert changes(swinging, hysteresis=True) == 1
    assert changes(swinging, hysteresis=False) == 20


@given(st.dictionaries(st.integers(1, 5), FREE, min_size=1))
def test_one_broker_with_too_little_space_is_enough(free: dict[int, int]) -> None:
    space = FreeSpace(LIMIT)
    space.update([answer(each, broker) for broker, each in free.items()], 0.0)

    assert space.is_low == any(each < LIMIT for each in free.values())
    assert [each.broker for each in space.least] == sorted(free)
    assert bool(space.reason) == space.is_low


@given(st.lists(FREE))
def test_limit_of_zero_refuses_nothing(free: list[int]) -> None:
    space = FreeSpace(0)
    for at, each in enumerate(free):
        space.update([answer(each)], float(at))
        assert not space.is_low
        assert space.ask_again_seconds == ASK_SECONDS


@pytest.mark.parametrize(
    ("limit", "resumes"), [(0, 0), (1000, 1250), (1024**3, 1280 * 1024**2), (2**40, 2**40 + 2**30)]
)
def test_requests_are_accepted_again_a_quarter_above_the_limit(limit: int, resumes: int) -> None:
    assert resume_bytes(limit) == resumes


def test_broker_that_does_not_tell_refuses_nothing() -> None:
    space = space_after(10)
    space.update([Answer(1, unknown="It is too old.")], 1.0)

    assert (space.is_low, space.volumes) == (False, [])


def test_silent_broker_counts_for_thirty_seconds() -> None:
    """Its disk may be full, and others lead its partitions then."""
    space = space_after(10)
    silent = [Answer(1, is_silent=True), answer(5000, broker=2)]

    space.update(silent, FORGET_SECONDS - 1)
    assert space.is_low
    space.update(silent, FORGET_SECONDS)
    assert not space.is_low
    assert [each.broker for each in space.least] == [2]


def test_broker_that_left_the_cluster_is_forgotten() -> None:
    space = space_after(10)
    space.update([answer(5000, broker=2)], FORGET_SECONDS)

    assert not space.is_low


def test_brokers_are_asked_each_second_near_the_limit_and_while_one_is_silent() -> None:
    assert space_after(2000).ask_again_seconds == ASK_SECONDS
    assert space_after(1999).ask_again_seconds == ASK_NEAR_SECONDS
    assert FreeSpace(LIMIT).ask_again_seconds == ASK_NEAR_SECONDS
    space = space_after(5000)
    space.update([Answer(1, is_silent=True)], 1.0)
    assert space.ask_again_seconds == ASK_NEAR_SECONDS


def test_reason_names_the_brokers_with_their_free_space_and_the_setting() -> None:
    space = FreeSpace(1024**3)
    both = [answer(512 * 1024**2), answer(2 * 1024**3, broker=2)]
    other = replace(both[0].volumes[0], directory="/other", free_bytes=2 * 1024**3)
    space.update([replace(both[0], volumes=[*both[0].volumes, other]), both[1]], 0.0)

    assert space.reason == (
        "Kafka has too little free disk space: broker 1 has 512.0 MiB. Items are accepted from 1.2 GiB on "
        "(SEQUENCE_KAFKA_MIN_FREE_BYTES=1073741824)."
    )
