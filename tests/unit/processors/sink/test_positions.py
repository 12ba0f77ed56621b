"""The position of a partition: its rows, and what is noted of them."""

from __future__ import annotations

import pytest

from processors.sink.positions import position_of


@pytest.mark.parametrize(
    ("of_rows", "notes", "position"),
    [
        (-1, [], -1),
        (8, [(-1, 5)], 8),
        (4, [(-1, 9)], 9),
        (8, [(8, 9)], 9),
        (4, [(8, 9)], 4),
        (4, [(8, 9), (-1, 8)], 9),
    ],
    ids=["nothing", "lower note", "rows removed on purpose", "rejected row", "rows lost since", "both"],
)
def test_note_counts_while_the_rows_before_it_are_accounted_for(
    of_rows: int, notes: list[tuple[int, int]], position: int
) -> None:
    assert position_of(of_rows, notes) == position
