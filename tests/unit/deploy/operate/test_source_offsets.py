"""Sets of source offsets are compared by figures that ClickHouse can compute."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.operate.source_offsets import WINDOW, Figures, SourceOffsets, describe, ranges

OFFSETS = st.sets(st.integers(0, 3 * WINDOW) | st.integers(2**40, 2**40 + 2 * WINDOW), max_size=200)


def figures_of(offsets: set[int]) -> dict[int, Figures]:
    """Return the figures as ClickHouse computes them, in UInt64."""
    found: dict[int, Figures] = {}
    for offset in offsets:
        before = found.get(offset // WINDOW, Figures(0, 0, 0))
        found[offset // WINDOW] = Figures(
            before.number + 1, (before.total + offset) % 2**64, (before.squares + offset * offset) % 2**64
        )
    return found


@settings(max_examples=40)
@given(OFFSETS)
def test_set_has_what_was_added_in_order(offsets: set[int]) -> None:
    found = SourceOffsets(offsets)

    assert list(found) == sorted(offsets)
    assert (len(found), bool(found)) == (len(offsets), bool(offsets))
    assert all(offset in found for offset in offsets)
    assert set().union(*(found.offsets_of(number) for number in found.windows())) == offsets


@settings(max_examples=40)
@given(OFFSETS)
def test_equal_sets_differ_in_no_window(offsets: set[int]) -> None:
    assert SourceOffsets(offsets).differing_windows(figures_of(offsets)) == []


@settings(max_examples=40)
@given(OFFSETS, OFFSETS)
def test_windows_that_differ_are_found(ours: set[int], theirs: set[int]) -> None:
    found = SourceOffsets(ours).differing_windows(figures_of(theirs))

    assert found == sorted({offset // WINDOW for offset in ours ^ theirs})


def test_two_offsets_in_place_of_two_others_are_found() -> None:
    pairs = {pair: SourceOffsets(pair) for pair in combinations(range(7), 2)}
    for first in pairs:
        figures = figures_of(set(first))
        assert [pair for pair, offsets in pairs.items() if not offsets.differing_windows(figures)] == [first]


@settings(max_examples=40)
@given(OFFSETS)
def test_discarded_offset_is_gone(offsets: set[int]) -> None:
    found = SourceOffsets(offsets)
    for offset in sorted(offsets)[::2]:
        found.discard(offset)

    assert list(found) == sorted(offsets)[1::2]


def test_offsets_are_shown_as_ranges() -> None:
    assert ranges([]) == []
    assert ranges([1, 2, 3, 5, 8, 9]) == [(1, 3), (5, 5), (8, 9)]


@settings(max_examples=40)
@given(OFFSETS, OFFSETS, OFFSETS)
def test_sets_are_combined(first: set[int], second: set[int], third: set[int]) -> None:
    others = SourceOffsets(second), SourceOffsets(third)

    assert set(SourceOffsets(first).without(*others)) == first - second - third
    assert set(SourceOffsets(first).common(*others)) == first & (second | third)


@pytest.mark.parametrize(
    ("first", "end"), [(0, 0), (3, 3), (5, 3), (0, 1), (WINDOW - 1, WINDOW), (WINDOW - 2, WINDOW + 2), (7, 3 * WINDOW)]
)
def test_range_has_every_offset_but_its_end(first: int, end: int) -> None:
    found = SourceOffsets.between(first, end)

    assert (list(found), len(found)) == (list(range(first, end)), len(range(first, end)))


def test_set_of_many_ranges_is_described_by_the_first() -> None:
    assert describe([1, 2, 3, 9]) == "source offsets 1-3, 9"
    assert describe(range(0, 50, 2)).endswith(", 38 and 5 more ranges")
