"""Where a partition starts: what the stage knows, what the group committed, and what has expired."""

from __future__ import annotations

import pytest

from processors.engine.errors import ExpiredInputError, TruncatedLogError
from processors.engine.stage import AssignedOffsets, InputOffsets
from processors.engine.start_offsets import SEEK_RECORDS, check_committed, processed_offset, seek_offset
from tests.unit.processors.engine.stages import ITEMS


def start(
    known: int | None, committed: int | None, *, log_start: int = 10, is_new: bool = False, decided: int | None = None
) -> int:
    assigned = AssignedOffsets(
        {} if known is None else {0: known},
        {} if decided is None else {0: decided},
        frozenset({0} if is_new else ()),
    )
    return processed_offset(ITEMS, InputOffsets(log_start, 50, committed), assigned, "dedupe")


@pytest.mark.parametrize(
    ("known", "committed", "expected"), [(20, None, 20), (None, 31, 30), (20, 31, 30), (40, 31, 40), (9, None, 9)]
)
def test_highest_known_offset_counts(known: int | None, committed: int | None, expected: int) -> None:
    assert start(known, committed) == expected


def test_new_stage_starts_at_the_first_offset_that_is_left() -> None:
    assert start(None, None, is_new=True) == 9


def test_group_without_offsets_and_nothing_expired_reads_from_the_start() -> None:
    assert start(None, None, log_start=0) == -1


def test_forgotten_group_is_refused_if_input_has_expired_and_outputs_exist() -> None:
    with pytest.raises(ExpiredInputError, match="offsets below 10 have expired, and nothing tells"):
        start(None, None)


@pytest.mark.parametrize(("known", "committed"), [(None, 5), (4, None), (4, 5), (4, 2)])
def test_expired_input_is_refused_with_the_offsets_and_the_command(known: int | None, committed: int | None) -> None:
    with pytest.raises(ExpiredInputError, match=r"offsets 5 to 9 expired.*accept --stage dedupe --partition 0`"):
        start(known, committed)


def test_committed_offset_of_a_partition_without_outputs_is_no_new_start() -> None:
    with pytest.raises(ExpiredInputError, match="offsets 5 to 9 expired"):
        start(None, 5, is_new=True)


def test_start_that_the_stage_decides_may_be_below_the_committed_offset() -> None:
    assert start(None, 31, decided=12) == 11


def test_start_that_has_expired_meanwhile_is_refused() -> None:
    with pytest.raises(ExpiredInputError, match="offsets 8 to 9 expired"):
        start(None, 31, decided=8)


def test_log_that_ends_below_the_committed_offset_is_refused() -> None:
    with pytest.raises(TruncatedLogError, match=r"ends at 49, but .* committed offset 51.*deleted and recreated"):
        check_committed(ITEMS, InputOffsets(0, 50, 51))
    check_committed(ITEMS, InputOffsets(0, 50, 50))


@pytest.mark.parametrize(
    ("committed", "processed", "expected"),
    [
        (20, 19, None),
        (20, 18, 19),
        (20, 30, None),
        (20, 20 + SEEK_RECORDS, 21 + SEEK_RECORDS),
        (None, -1, None),
        (None, SEEK_RECORDS, SEEK_RECORDS + 1),
    ],
)
def test_seek_is_for_a_start_below_the_committed_offset_or_far_above(
    committed: int | None, processed: int, expected: int | None
) -> None:
    assert seek_offset(InputOffsets(0, 100_000, committed), processed) == expected
