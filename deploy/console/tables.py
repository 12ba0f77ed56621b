"""Queries of the tables as `analyst`, who can only read, each with limits of time, memory, threads and rows.

At most `THREADS` of them run at a time, on threads of their own. A page that asks while all are taken waits a little
and is then refused: a slow query delays no other page for long, and INSERTs even less.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from deploy.console.errors import BusyError
from deploy.console.metrics import ConsoleMetrics
from deploy.operate.server_faults import clickhouse_fault
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from schemas.log_throttle import Outage
from schemas.settings import ClickHouseSettings

log = logging.getLogger(__name__)

THREADS = 4
SEARCHES = 1
"""Searches of text among them. One that finds nothing reads whole rows until its time is over, on a core of its own."""
PAUSE = 0.5
"""After a search, no other begins for this share of the time that it took."""
WAIT_SECONDS = 5.0
"""How long a request waits for a thread."""
QUERY_SECONDS = 5.0
MEMORY_BYTES = 256 * 1024 * 1024
MAX_ROWS = 10_000
_TIME, _MEMORY = frozenset({159, 160}), frozenset({241, 396, 307})
"""ClickHouse's codes of a query that takes too long, and too much."""

_T = TypeVar("_T")


class LimitError(Exception):
    """A query reached a limit: it has no result."""

    def __init__(self, *, is_memory: bool) -> None:
        super().__init__()
        self.is_memory = is_memory


class LimitedClickHouse(ClickHouse):
    """A connection whose queries have the limits of the console. Statements must have no SETTINGS of their own."""

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, seconds: float = QUERY_SECONDS
    ) -> list[dict[str, Any]]:
        """Return the rows of *sql*, which may take *seconds*; raises `LimitError`."""
        limits = (
            f"max_execution_time = {max(1, math.ceil(seconds))}, max_memory_usage = {MEMORY_BYTES}, max_threads = 1, "
            f"max_result_rows = {MAX_ROWS}, max_block_size = 8192, output_format_json_escape_forward_slashes = 0"
        )
        try:
            return super().query(f"{sql} SETTINGS {limits}", parameters)
        except ClickHouseError as error:
            if error.code in _TIME | _MEMORY:
                raise LimitError(is_memory=error.code in _MEMORY) from error
            raise


class Tables:
    """Runs work with a connection. Raises `BusyError` if there is no thread, or no ClickHouse."""

    def __init__(self, settings: ClickHouseSettings, metrics: ConsoleMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._connection = LimitedClickHouse(settings)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="tables")
        self._slots = asyncio.Semaphore(THREADS)
        self._searches = asyncio.Semaphore(SEARCHES)
        self._outage = Outage()

    async def run(self, work: Callable[[LimitedClickHouse], _T], *, is_search: bool = False) -> _T:
        """Return what *work* returns, in a thread; a request that is cancelled keeps its thread until the end."""
        slots = [self._searches, self._slots] if is_search else [self._slots]
        await self._acquire(slots)
        loop = asyncio.get_running_loop()
        began = loop.time()
        running = loop.run_in_executor(self._threads, self._timed, work)

        def release(done: asyncio.Future[_T]) -> None:
            self._slots.release()
            if is_search:
                loop.call_later(PAUSE * (loop.time() - began), self._searches.release)
            if not done.cancelled():
                done.exception()  # Nobody else asks for it if the request was cancelled.

        running.add_done_callback(release)
        try:
            result = await asyncio.shield(running)
        except ClickHouseError as error:
            raise self._unavailable(error) from error
        self._outage.succeeded(time.monotonic())
        return result

    async def _acquire(self, slots: Sequence[asyncio.Semaphore]) -> None:
        taken: list[asyncio.Semaphore] = []
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                for slot in slots:
                    await slot.acquire()
                    taken.append(slot)
        except BaseException as error:
            for slot in taken:
                slot.release()
            if not isinstance(error, TimeoutError):
                raise
            self._metrics.refused.labels("busy").inc()
            what = "Another search is" if len(slots) > 1 else f"{THREADS} queries of the console are"
            raise BusyError("busy", f"{what} running. Try again, or narrow the time that you ask about.") from None

    def _timed(self, work: Callable[[LimitedClickHouse], _T]) -> _T:
        began = time.monotonic()
        try:
            return work(self._connection)
        finally:
            self._metrics.query_seconds.observe(time.monotonic() - began)

    def _unavailable(self, error: ClickHouseError) -> BusyError:
        """Return the error to answer. Only the log has the address: readers of a project need not know it."""
        if self._outage.failed(time.monotonic(), error.code) is not None:
            log.warning("a page asked in vain: %s", clickhouse_fault(self._settings, error))
        return BusyError(
            "clickhouse_unavailable",
            "ClickHouse does not answer, or refuses the query. The log of the console and `sequence status` say why.",
        )

    def close(self) -> None:
        """Disconnect once the running queries have ended; the process does not wait for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._connection.close()
