"""Which time of an item counts for the dedupe window, and whose clock is wrong. Pure.

An item has two times: the broker's on `items.v1`, and `receivedAt` of the gateway. If they agree within an hour, the
item's time is the broker's. If they do not, one of the clocks is wrong, and which one cannot be decided from the item.
Both clocks say that the time is at least the earlier one and at most the later one, so the window moves only as far as
both say.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from processors.engine.window_clock import TOLERANCE_MS, UNSET
from schemas.times import format_time, parse_time

_LATEST_MS = 9_000_000_000_000
"""In the year 2255. A time that is later, or before 1970, agrees with no other."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Times of one item that differ by more than the tolerance, in milliseconds since 1970."""

    broker_ms: int
    gateway_ms: int | None
    """None if `receivedAt` is not a time."""
    window_ms: int
    """The clock of the dedupe window, to which earlier items have set it."""

    @property
    def apart_ms(self) -> int:
        """Difference of the two times."""
        return abs(self.broker_ms - (self.gateway_ms or 0))


def agreeing(broker_ms: int) -> tuple[str, str]:
    """Return the first and the last `receivedAt` that agree with the broker's time *broker_ms*, as text that sorts."""
    if not 0 <= broker_ms <= _LATEST_MS:
        return "~", ""
    first_ms, last_ms = max(0, broker_ms - TOLERANCE_MS), broker_ms + TOLERANCE_MS
    return format_time(first_ms * 1000), format_time(last_ms * 1000)


def disputed_time(disagreement: Disagreement) -> int:
    """Return the time that counts for an item whose two times disagree, in milliseconds since 1970.

    That is the clock of the window, moved as far as both times say. It never puts an entry out of the window that is
    within it by the clock that is right.
    """
    broker_ms, gateway_ms, window_ms = disagreement.broker_ms, disagreement.gateway_ms, disagreement.window_ms
    if gateway_ms is None or window_ms == UNSET:
        return broker_ms if window_ms == UNSET else window_ms
    earlier, later = sorted((broker_ms, gateway_ms))
    if window_ms < earlier:
        return earlier
    return later if window_ms > later + TOLERANCE_MS else window_ms


@lru_cache(maxsize=1024)
def milliseconds(received_at: str) -> int | None:
    """Return `receivedAt` in milliseconds since 1970, None if it is not a time. Items of one request share it."""
    try:
        return parse_time(received_at) // 1000
    except ValueError:
        return None


def wrong_clock(disagreement: Disagreement, now_ms: int) -> str:
    """Return whose clock is out of line with the worker's, whose clock says *now_ms*, or with the window's."""
    for reference_ms in (now_ms, disagreement.window_ms):
        broker_agrees = abs(disagreement.broker_ms - reference_ms) <= TOLERANCE_MS
        gateway_ms = disagreement.gateway_ms
        gateway_agrees = gateway_ms is not None and abs(gateway_ms - reference_ms) <= TOLERANCE_MS
        if broker_agrees != gateway_agrees:
            return "a gateway" if broker_agrees else "the broker"
    return "the broker, a gateway or this worker"
