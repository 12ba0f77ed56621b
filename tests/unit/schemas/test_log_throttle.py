"""Repeated events are logged at once, then at intervals that double, and no number is lost in between."""

from __future__ import annotations

import pytest

from schemas.log_throttle import FIRST_SECONDS, LONGEST_SECONDS, Attempts, Outage, Tally, Throttle


def lines(throttle: Throttle, *, until: float, step: float = 1.0) -> list[float]:
    """Return when *throttle* allows a line if the event repeats every *step* seconds."""
    moments = [number * step for number in range(int(until / step))]
    return [now for now in moments if throttle.take(now)]


def test_intervals_double_up_to_the_longest() -> None:
    assert lines(Throttle(10, 40), until=200) == [0, 10, 30, 70, 110, 150, 190]


def test_event_of_a_whole_day_is_logged_every_ten_minutes() -> None:
    assert len(lines(Throttle(), until=86_400)) < 160


def test_event_after_a_calm_time_starts_the_intervals_again() -> None:
    throttle = Throttle(10, 40)
    last = lines(throttle, until=200)[-1]

    assert not throttle.take(last + 39)
    assert throttle.take(last + 90)
    assert throttle.wait(last + 90) == 10


def test_reset_makes_the_next_line_due() -> None:
    throttle = Throttle(10, 40)
    assert throttle.take(0)
    assert not throttle.take(1)

    throttle.reset()

    assert throttle.take(1)


def test_first_failed_attempt_and_the_recovery_are_logged() -> None:
    outage = Outage()

    assert outage.failed(100.0) == Attempts(1, 0.0)
    assert outage.failed(101.0) is None
    assert outage.succeeded(104.0) == Attempts(2, 4.0)
    assert outage.succeeded(105.0) is None


def test_later_lines_have_the_number_of_attempts_and_the_time() -> None:
    outage = Outage()
    found = [attempts for now in range(0, 75, 5) if (attempts := outage.failed(float(now)))]

    assert found == [Attempts(1, 0), Attempts(3, 10), Attempts(7, 30), Attempts(15, 70)]


def test_another_kind_of_error_in_an_outage_is_logged_at_once() -> None:
    outage = Outage()
    outage.failed(0.0, "refused")

    assert outage.failed(1.0, "refused") is None
    assert outage.failed(2.0, "certificate") == Attempts(3, 2.0)
    assert outage.failed(3.0, "certificate") is None


def test_what_fails_for_a_moment_again_and_again_does_not_fill_the_log() -> None:
    outage = Outage()
    written = 0
    for second in range(3600):
        written += outage.failed(float(second)) is not None
        written += outage.succeeded(second + 0.5) is not None

    assert written <= 2 * 12


@pytest.mark.parametrize(("seconds", "at_once"), [(FIRST_SECONDS, True), (FIRST_SECONDS - 1, False)])
def test_new_outage_is_logged_at_once_after_a_long_one(seconds: float, *, at_once: bool) -> None:
    outage = Outage()
    outage.failed(0.0)
    outage.succeeded(seconds)

    assert (outage.failed(seconds + 0.1) is not None) is at_once


def test_attempts_of_an_outage_that_was_not_logged_are_not_a_recovery() -> None:
    outage = Outage()
    outage.failed(0.0)
    outage.succeeded(1.0)
    outage.failed(2.0)

    assert outage.succeeded(3.0) is None


def test_summary_has_every_number_that_was_added() -> None:
    tally = Tally()
    tally.add({"row_rejected": 2}, 5.0)
    tally.add({"key_mismatch": 30, "row_rejected": 1}, 6.0)

    summary = tally.take(8.0)

    assert summary is not None
    assert (summary.total, summary.seconds) == (33, 3.0)
    assert summary.detail == "key_mismatch 30, row_rejected 3"
    assert tally.take(9.0) is None


def test_first_summary_gathers_what_arrives_together_and_later_ones_wait() -> None:
    tally = Tally(gather_seconds=1.0)

    assert tally.add({"a": 1}, 0.0) == 1.0
    assert tally.take(1.0) is not None
    assert tally.add({"a": 1}, 1.5) == FIRST_SECONDS - 0.5
    assert tally.take(1.0 + FIRST_SECONDS) is not None
    assert tally.add({"a": 1}, 12.0) == pytest.approx(2 * FIRST_SECONDS - 1.0)


def test_no_number_is_lost_and_lines_are_bounded_in_a_day_of_rejections() -> None:
    tally = Tally()
    totals = []
    due = None
    for second in range(86_400):
        wait = tally.add({"a": 3}, float(second))
        due = second + wait if due is None else due
        if second >= due and (summary := tally.take(float(second))):
            totals.append(summary.total)
            due = None
    rest = tally.take(86_400.0)
    totals.append(rest.total if rest else 0)

    assert sum(totals) == 3 * 86_400
    assert len(totals) < 86_400 / LONGEST_SECONDS + 12
