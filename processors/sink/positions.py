"""The position of a partition in a table: up to where the sink need not write. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class PositionReason(StrEnum):
    """Why a position is noted in `_positions`: the rows up to it do not show it."""

    REJECTED = "rejected"
    """The last row was rejected."""
    KEPT = "kept"
    """Rows were removed on purpose and must not be written again."""
    ERASED = "erased"
    """The last row was left out, because an erasure covers it."""
    ACCEPTED_LOSS = "accepted_loss"
    """Rows are missing, and a person has accepted that."""


OF_THE_LAST_ROW = (PositionReason.REJECTED, PositionReason.ERASED)
"""Reasons that concern the last row alone: the note counts while the table has the rows before it."""


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
