"""The position of a partition in a table: up to where the sink need not write. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def position_of(of_rows: int, notes: Iterable[tuple[int, int]]) -> int:
    """Return the position of a partition whose rows show the source offset *of_rows*, -1 without rows.

    Each of *notes* has `after` and `position` of an entry of `_positions`: it counts only while every row up to the
    source offset `after` is accounted for. Otherwise it would hide rows that were lost after it was written.
    """
    position = of_rows
    for after, noted in sorted(notes):
        if after <= position:
            position = max(position, noted)
    return position
