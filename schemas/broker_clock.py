"""The clock of the Kafka brokers, seen from this process. Pure: every time is an argument.

A broker stamps each record when it appends it. A process that knows two times of its own clock between which that was
knows the difference of the clocks to within half the time between them.
"""

from __future__ import annotations

DRIFT = 0.001
"""Seconds by which the difference may change within a second: an old measurement gives way to a less exact new one."""
WIDEST_SECONDS = 2.0
"""A measurement whose two times lie further apart is not used."""


class BrokerClock:
    """The difference between the brokers' clock and that of this process."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._width = 0.0
        self._measured_at = 0.0

    @property
    def offset_seconds(self) -> float | None:
        """The brokers' clock minus this process's, None until it was measured."""
        return self._offset

    def now(self, now: float) -> float:
        """Return the brokers' time at *now* of this process, both in seconds since 1970."""
        return now + (self._offset or 0.0)

    def observe(self, broker_ms: int, after: float, before: float) -> None:
        """Note that a broker stamped a record with *broker_ms* later than *after* and earlier than *before*.

        These are seconds since 1970 on the clock of this process.
        """
        width = before - after
        if broker_ms < 0 or not 0 <= width <= WIDEST_SECONDS:
            return
        offset = broker_ms / 1000 - (after + before) / 2
        tolerated = self._width + DRIFT * abs(before - self._measured_at)
        stepped = self._offset is not None and abs(offset - self._offset) > (width + tolerated) / 2 + DRIFT
        if self._offset is None or stepped or width <= tolerated:
            self._offset, self._width, self._measured_at = offset, width, before
