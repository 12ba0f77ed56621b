"""The clock of a store that keeps its entries for a window: the time up to which its entries have come. Pure.

It is a fold over the times of the entries in the order of the changelog, so a rebuilt store has the same clock.
"""

from __future__ import annotations

UNSET = -1
"""The clock of a store that never had an entry."""
TOLERANCE_MS = 60 * 60 * 1000
"""How far the times of entries may lie apart because clocks differ."""


def advance(clock_ms: int, time_ms: int, tolerance_ms: int = TOLERANCE_MS) -> int:
    """Return the clock after an entry of *time_ms*.

    It follows later times. It goes back only to a time that is earlier by more than the tolerance: otherwise a clock
    that was ahead once would put every entry out of the window for as long as it was ahead.
    """
    return time_ms if time_ms > clock_ms or time_ms < clock_ms - tolerance_ms else clock_ms


def expired_before(clock_ms: int, window_ms: int, tolerance_ms: int = TOLERANCE_MS) -> int:
    """Return the time before which no entry is needed: the clock may be ahead of an item by the tolerance."""
    return clock_ms - window_ms - tolerance_ms
