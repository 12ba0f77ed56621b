"""Durations and times as arguments of commands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from deploy.durations import Duration, Since


def test_since_is_a_duration_before_now_or_a_time() -> None:
    before = datetime.now(UTC) - timedelta(hours=24)
    assert before <= Since().convert("24h", None, None) <= datetime.now(UTC) - timedelta(hours=24)
    assert Since().convert("2026-01-31T12:00:00+02:00", None, None) == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert Since().convert("2026-01-31", None, None) == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "24", "24w", "0h", "2026-13-01", "999999999d", "1850-01-01"])
def test_other_text_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Since().convert(text, None, None)


def test_given_values_are_kept() -> None:
    assert Since().convert(datetime(2026, 1, 1, tzinfo=UTC), None, None) == datetime(2026, 1, 1, tzinfo=UTC)
    assert Duration().convert(5, None, None) == 5
