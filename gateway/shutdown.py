"""The time of a shutdown: 20 s from the first signal, shared by all of its steps.

1. `/health/ready` fails and responses close their connections, while requests are accepted for the shutdown delay.
2. The listener closes, and requests in flight finish.
3. The publisher flushes, and the connections to Kafka close.

Each step has what the steps before it have left, less what the steps after it need.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time

log = logging.getLogger(__name__)

LIMIT_SECONDS = 20.0
CANCEL_SECONDS = 1.0
"""For requests that did not finish to be cancelled."""
CLOSE_SECONDS = 6.0
"""For the last step: 1 s to record uses of tokens, 4.5 s to flush and to close the producer, and a margin."""


class Shutdown:
    """Requested by a signal. A second signal ends the shutdown delay."""

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.requested = asyncio.Event()
        self._hastened = asyncio.Event()
        self._limit_seconds = limit_seconds
        self._deadline: float | None = None

    def request(self) -> None:
        """Start the shutdown or, if it has started, end the shutdown delay. Called by each signal."""
        if self.requested.is_set():
            self._hastened.set()
        else:
            self._deadline = time.monotonic() + self._limit_seconds
            self.requested.set()

    async def wait_for_delay(self, seconds: float) -> None:
        """Return after *seconds*, or at the second signal."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hastened.wait()

    def seconds_to_drain(self) -> float:
        """Return the time that requests in flight have to finish."""
        left = self._limit_seconds if self._deadline is None else self._deadline - time.monotonic()
        return max(0.0, left - CANCEL_SECONDS - CLOSE_SECONDS)


def exit_after(seconds: float) -> None:
    """End the process after *seconds* although a step hangs. Only acknowledged requests have been answered with 200."""

    def exit_now() -> None:
        log.error("shutdown exceeded %g s, exiting; requests without a response must be sent again", seconds)
        os._exit(1)

    guard = threading.Timer(seconds, exit_now)
    guard.daemon = True
    guard.start()
