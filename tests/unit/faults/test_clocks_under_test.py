"""Clocks of services under test: one that stands still during a suspension, and one that a file moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import faked_clock
from tests.faults.suspended_clock import GAP_SECONDS, standing_still


def test_clock_stands_still_during_a_suspension_and_advances_otherwise() -> None:
    times = iter([100.0, 101.0, 101.0 + 10 * GAP_SECONDS, 102.0 + 10 * GAP_SECONDS])
    clock = standing_still(lambda: next(times))
    assert [clock(), clock(), clock()] == [101.0, 101.0, 102.0]


def test_offset_of_a_faked_clock_is_in_its_file(tmp_path: Path) -> None:
    faked_clock.shift(tmp_path / "state", "kafka", 7200)
    assert faked_clock.file(tmp_path / "state", "kafka").read_text() == "+7200\n"
    faked_clock.shift(tmp_path / "state", "kafka", 0)
    assert faked_clock.file(tmp_path / "state", "kafka").read_text() == "+0\n"


def test_missing_libfaketime_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faked_clock, "LIBRARIES", (tmp_path / "missing.so",))
    with pytest.raises(FileNotFoundError, match="faketime"):
        faked_clock.environ(tmp_path / "clock")
