"""How often a repeated event is logged: at once, then at intervals that double. Pure; gateway and workers share it.

`Outage` counts the failed attempts of one dependency, `Tally` sums numbers by name. Both return values for a log line
when one is due, and None otherwise. Every method takes `now` in seconds of a monotonic clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

FIRST_SECONDS = 10.0
"""Between the first two lines about the same."""
LONGEST_SECONDS = 600.0
"""Between any two lines about the same. After as long without the event, the next one is logged at once."""


class Throttle:
    """Decides whether the next line about the same may be written."""

    def __init__(self, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._first = self._interval = first_seconds
        self._longest = longest_seconds
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """Return the seconds until a line is due; 0 if it is due now."""
        return max(0.0, self._next - now)

    def take(self, now: float) -> bool:
        """Return whether a line is due now. The caller writes it, and the next one is due after the interval."""
        if now < self._next:
            return False
        if now - self._next >= self._longest:
            self._interval = self._first
        self._next = now + self._interval
        self._interval = min(2 * self._interval, self._longest)
        return True

    def reset(self) -> None:
        """Make the next line due at once."""
        self._interval, self._next = self._first, -math.inf


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed attempts since the last recovery that was logged."""

    failed: int
    seconds: float
    """Since the first of them."""


class Outage:
    """Failed attempts to reach one dependency, until one succeeds."""

    def __init__(self) -> None:
        self._throttle = Throttle()
        self._failed = 0
        self._since = 0.0
        self._kinds: set[object] = set()
        """Kinds of errors that were logged in this outage."""

    def failed(self, now: float, kind: object = None) -> Attempts | None:
        """Count a failed attempt; return all of them if a line is due, or if the outage is logged without *kind*."""
        if self._failed == 0:
            self._since = now
        self._failed += 1
        is_new = bool(self._kinds) and kind not in self._kinds
        if not self._throttle.take(now) and not is_new:
            return None
        self._kinds.add(kind)
        return Attempts(self._failed, now - self._since)

    def succeeded(self, now: float) -> Attempts | None:
        """End the outage; return its failed attempts if it was logged."""
        if not self._failed:
            return None
        attempts, logged = Attempts(self._failed, now - self._since), bool(self._kinds)
        if attempts.seconds >= FIRST_SECONDS:
            # What fails for a moment, again and again, keeps its interval; a new outage is logged at once.
            self._throttle.reset()
        self._failed = 0
        self._kinds.clear()
        return attempts if logged else None


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers by name, and the seconds in which they were counted."""

    counts: Mapping[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """The sum of all numbers."""
        return sum(self.counts.values())

    @property
    def detail(self) -> str:
        """Each name with its number, the largest first."""
        ordered = sorted(self.counts.items(), key=lambda count: (-count[1], count[0]))
        return ", ".join(f"{name} {number}" for name, number in ordered)


class Tally:
    """Sums numbers by name until they are logged."""

    def __init__(self, gather_seconds: float = 1.0) -> None:
        self._throttle = Throttle()
        self._gather = gather_seconds
        self._counts: Counter[str] = Counter()
        self._since = 0.0

    def add(self, counts: Mapping[str, int], now: float) -> float:
        """Add *counts*; return the seconds after which `take` is due. The first line gathers what arrives together."""
        if not self._counts:
            self._since = now
        self._counts.update(counts)
        return max(self._gather, self._throttle.wait(now))

    def take(self, now: float) -> Summary | None:
        """Return what was added since the last call, None if that is nothing."""
        if not self._counts:
            return None
        self._throttle.take(now)
        summary = Summary(dict(self._counts), now - self._since)
        self._counts.clear()
        return summary
