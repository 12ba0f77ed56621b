"""Clocks of services under test: one that stands still during a suspension, and one that a file moves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.http import ingest_handler
from gateway.kafka import publisher
from tests.faults.interruptions import arm
from tests.faults.shifted_clocks import ShiftedTime, shift
from tests.faults.suspended_clock import GAP_SECONDS, standing_still
from tests.faults.worker import CLOCKS


def test_clock_stands_still_during_a_suspension_and_advances_otherwise() -> None:
    times = iter([100.0, 101.0, 101.0 + 10 * GAP_SECONDS, 102.0 + 10 * GAP_SECONDS])
    clock = standing_still(lambda: next(times))
    assert [clock(), clock(), clock()] == [101.0, 101.0, 102.0]


def test_shifted_clock_is_ahead_by_what_its_file_says(tmp_path: Path) -> None:
    shift(tmp_path, "broker", 7200)
    clock = ShiftedTime(tmp_path / "broker")
    assert clock.time_ns() - time.time_ns() == pytest.approx(7200e9, abs=60e9)
    assert clock.monotonic is time.monotonic
    shift(tmp_path, "broker", 0)
    assert clock.time_ns() - time.time_ns() == pytest.approx(0, abs=60e9)


def test_gateway_takes_the_time_of_records_and_received_at_from_two_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift(tmp_path, "broker", 7200)
    shift(tmp_path, "gateway", -7200)
    arm({CLOCKS: str(tmp_path)}, monkeypatch.setattr)
    assert publisher.time.time_ns() - ingest_handler.time.time_ns() == pytest.approx(14400e9, abs=60e9)  # type: ignore[attr-defined]
