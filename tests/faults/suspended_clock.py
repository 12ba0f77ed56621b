"""A process whose monotonic clock stands still while SIGSTOP has stopped it, as on a host that was suspended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

GAP_SECONDS = 4.0
"""The event loops of a worker ask for the time several times a second; a longer gap is a suspension."""


def standing_still(clock: Callable[[], float]) -> Callable[[], float]:
    """Return *clock* less the gaps between two readings that exceed `GAP_SECONDS`."""
    mutex = threading.Lock()
    last = clock()
    suspended = 0.0

    def monotonic() -> float:
        nonlocal last, suspended
        with mutex:
            now = clock()
            if now - last > GAP_SECONDS:
                suspended += now - last
            last = max(last, now)
            return now - suspended

    return monotonic


def install() -> None:
    """Replace `time.monotonic`. Before any module of the product is imported, since some import the name."""
    time.monotonic = standing_still(time.monotonic)
