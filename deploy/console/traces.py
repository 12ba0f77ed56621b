"""`/api/trace`: what `sequence trace --json` prints, for one project or all. Few at a time, in threads of their own."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from deploy.console.errors import BusyError, UnknownError
from deploy.console.metrics import ConsoleMetrics
from deploy.errors import OperateError
from deploy.operate import trace
from deploy.operate.servers import Servers
from deploy.operate.trace_result import Trace

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Traces at a time: one of a messageId that no table has reads Kafka for seconds."""
WAIT_SECONDS = 10.0


class Traces:
    """Runs traces. Each has an event loop and connections of its own, so that none delays a page."""

    def __init__(self, servers: Servers, metrics: ConsoleMetrics) -> None:
        self._servers = servers
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="trace")
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def find(self, message_id: str, project_id: str | None) -> Trace:
        """Return the trace; raises `BusyError` while others run, or if neither Kafka nor ClickHouse answers."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            self._metrics.refused.labels("busy").inc()
            raise BusyError("busy", f"{AT_ONCE} other traces are running. Try again in a few seconds.") from None
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, trace.trace, self._servers, message_id, project_id)
        running.add_done_callback(self._release)
        try:
            return await asyncio.shield(running)
        except OperateError as error:
            if str(error).startswith("There is no project"):
                raise UnknownError("project_unknown", str(error)) from error
            log.warning("a trace was asked in vain: %s", error)
            raise BusyError(
                "kafka_unavailable",
                "Kafka and ClickHouse do not answer. The log of the console and `sequence status` say why.",
            ) from error

    def _release(self, done: asyncio.Future[Trace]) -> None:
        self._slots.release()
        if not done.cancelled():
            done.exception()  # Nobody else asks for it if the request was cancelled.

    def close(self) -> None:
        """Do not wait for traces that run: each ends by itself within seconds."""
        self._threads.shutdown(wait=False, cancel_futures=True)
