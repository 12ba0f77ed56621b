"""An event loop in its own thread, for servers that run beside synchronous tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

TIMEOUT_SECONDS = 10.0


class LoopThread:
    """Runs coroutines for other threads, from `start` to `stop`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* in the loop and wait for its end."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result(TIMEOUT_SECONDS)

    def stop(self) -> None:
        """Stop the loop and the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
