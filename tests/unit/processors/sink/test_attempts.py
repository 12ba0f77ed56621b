"""What happens to a block whose INSERT failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from processors.clickhouse.codes import FaultKind
from processors.sink.attempts import BIG_ROW_BYTES, HALVE_AFTER, REJECT_AFTER, Evidence, Step, next_step, pause_seconds

BLOCK = Evidence(FaultKind.SIZE, 100, 50_000, failures=1, unparsable=False, others_written=False)
ROW = replace(BLOCK, rows=1, size_bytes=500, failures=100)
BLAMED = [FaultKind.SIZE, FaultKind.UNKNOWN, FaultKind.ROW]
"""Kinds of errors that can be the fault of a row."""


def test_block_that_cannot_be_parsed_is_halved_at_once_down_to_its_row() -> None:
    broken = replace(BLOCK, kind=FaultKind.ROW, unparsable=True, failures=0)

    assert next_step(broken) is Step.HALVE
    assert next_step(replace(broken, rows=1)) is Step.REJECT_VALUE


@pytest.mark.parametrize("kind", BLAMED)
def test_block_is_halved_after_repeated_failures(kind: FaultKind) -> None:
    assert next_step(replace(BLOCK, kind=kind, failures=HALVE_AFTER - 1)) is Step.WAIT
    assert next_step(replace(BLOCK, kind=kind, failures=HALVE_AFTER)) is Step.HALVE


@pytest.mark.parametrize("kind", [FaultKind.STATE, FaultKind.UNAVAILABLE])
def test_fault_of_the_table_or_the_server_waits_whatever_else_is_known(kind: FaultKind) -> None:
    for rows in (100, 1):
        known = Evidence(kind, rows, 10 * BIG_ROW_BYTES, failures=1000, unparsable=False, others_written=True)
        assert next_step(known) is Step.WAIT


@pytest.mark.parametrize("kind", BLAMED)
def test_row_is_rejected_only_if_others_were_written_since_it_failed(kind: FaultKind) -> None:
    assert next_step(replace(ROW, kind=kind)) is Step.WAIT
    assert next_step(replace(ROW, kind=kind, others_written=True)) is Step.REJECT_UNSTORABLE
    assert next_step(replace(ROW, kind=kind, others_written=True, failures=REJECT_AFTER - 1)) is Step.WAIT


def test_big_row_is_rejected_for_its_size_without_other_rows() -> None:
    big = replace(ROW, size_bytes=BIG_ROW_BYTES)

    assert next_step(big) is Step.REJECT_UNSTORABLE
    assert next_step(replace(big, failures=REJECT_AFTER - 1)) is Step.WAIT
    assert next_step(replace(big, kind=FaultKind.UNKNOWN)) is Step.WAIT


def test_pauses_double_up_to_a_limit_and_are_longer_for_a_single_row() -> None:
    assert [pause_seconds(attempt) for attempt in (1, 2, 3, 6, 7, 5000)] == [0.1, 0.2, 0.4, 3.2, 5.0, 5.0]
    assert [pause_seconds(attempt, 1) for attempt in (1, 2, 3, 4)] == [1.0, 2.0, 4.0, 5.0]
