"""When a part that died starts again: at once the first time, later and later while it keeps dying. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 5.0
"""Recovery is cheap, and whoever mends what keeps a part from running is waiting for it."""
HEALTHY_SECONDS = 60.0
"""A part that lived this long has not been failing."""
SHOW_LOG_AFTER = 3
"""From this many deaths in a row on, the end of the part's log is shown."""
START_LIMIT_BURST = 4
"""A part that has never been ready is given up after this many deaths."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often in a row a part has died young."""

    deaths: int = 0

    def after_death(self, lived_seconds: float) -> Backoff:
        """Return the count after a death, given how long the part had lived."""
        return Backoff(1) if lived_seconds >= HEALTHY_SECONDS else replace(self, deaths=self.deaths + 1)

    @property
    def delay_seconds(self) -> float:
        """Seconds to wait before the next start; twice as long after each death, up to a limit."""
        doublings = max(0, self.deaths - 1)
        # A count without end would overflow the power; the limit is reached long before.
        return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(doublings, 16))

    @property
    def is_hopeless(self) -> bool:
        """Whether a part that has never been ready should be given up."""
        return self.deaths >= START_LIMIT_BURST

    @property
    def keeps_dying(self) -> bool:
        """Whether the reason should be looked for in the log."""
        return self.deaths >= SHOW_LOG_AFTER


def cause(exit_code: int) -> str:
    """Return in words how a process ended; -n is Python's and 128 + n a shell's way of saying signal n."""
    if exit_code < 0 or exit_code > 128:
        return f"was ended by signal {-exit_code if exit_code < 0 else exit_code - 128}"
    return f"exited with code {exit_code}"
