"""The difference between the brokers' clock and the one of this process."""

from __future__ import annotations

import pytest

from schemas.broker_clock import WIDEST_SECONDS, BrokerClock


def test_offset_is_unknown_before_the_first_measurement() -> None:
    clock = BrokerClock()

    assert clock.offset_seconds is None
    assert clock.now(50.0) == 50.0


def test_offset_is_measured_from_the_middle_of_both_times() -> None:
    clock = BrokerClock()
    clock.observe(112_000, 100.0, 100.2)

    assert clock.offset_seconds == pytest.approx(11.9)
    assert clock.now(50.0) == pytest.approx(61.9)


def test_narrower_measurement_replaces_a_wider_one() -> None:
    clock = BrokerClock()
    clock.observe(100_300, 100.0, 101.0)
    clock.observe(101_001, 101.0, 101.002)
    clock.observe(101_900, 101.002, 102.0)

    assert clock.offset_seconds == pytest.approx(0.0)


def test_old_measurement_gives_way_to_a_wider_one() -> None:
    clock = BrokerClock()
    clock.observe(100_001, 100.0, 100.002)
    clock.observe(700_170, 700.0, 700.3)

    assert clock.offset_seconds == pytest.approx(0.02)


def test_clock_that_was_set_is_noticed_at_once() -> None:
    clock = BrokerClock()
    clock.observe(100_001, 100.0, 100.002)
    clock.observe(160_500, 100.0, 101.0)

    assert clock.offset_seconds == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("broker_ms", "after", "before"),
    [(-1, 100.0, 100.1), (100_000, 100.1, 100.0), (100_000, 100.0, 100.1 + WIDEST_SECONDS)],
    ids=["no time", "clock set back", "too wide"],
)
def test_measurement_that_says_nothing_is_not_used(broker_ms: int, after: float, before: float) -> None:
    clock = BrokerClock()
    clock.observe(broker_ms, after, before)

    assert clock.offset_seconds is None
