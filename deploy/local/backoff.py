"""Restart policy of the supervisor: an exponential delay, and the limit after which it gives up. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 5.0
"""Short, because a restart is cheap and a developer waits for it."""
HEALTHY_SECONDS = 60.0
"""A service that ran this long was healthy: its failure count starts again."""
START_LIMIT_BURST = 4
"""Consecutive failures after which the supervisor gives up a service that has never been ready."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Counts consecutive failures of one service."""

    failures: int = 0

    def after_exit(self, uptime_seconds: float) -> Backoff:
        """Return the count after an exit, given how long the process ran."""
        return Backoff(1) if uptime_seconds >= HEALTHY_SECONDS else replace(self, failures=self.failures + 1)

    @property
    def delay_seconds(self) -> float:
        """Seconds before the next start; doubles with each failure, up to a limit."""
        doublings = max(0, self.failures - 1)
        # The exponent is bounded, because a large one would overflow a float.
        return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(doublings, 16))

    @property
    def exceeds_start_limit(self) -> bool:
        """Whether to give up a service that has never been ready."""
        return self.failures >= START_LIMIT_BURST


def describe_exit(exit_code: int) -> str:
    """Return how a process ended, in words. Signal n is -n for Python and 128 + n for a shell."""
    if exit_code < 0 or exit_code > 128:
        return f"was killed by signal {-exit_code if exit_code < 0 else exit_code - 128}"
    return f"exited with code {exit_code}"
