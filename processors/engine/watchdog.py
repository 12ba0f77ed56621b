"""Ends a worker that has silently stopped: lag that nobody works on, or a slice that never finishes.

Consumers have stopped without a word after broker outages, and recovery's errors are logged and swallowed by Faust.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

from aiokafka.errors import KafkaError
from faust.types import TP

from processors.engine.errors import EngineError
from processors.engine.logs import Bounds
from processors.engine.runner import Runner

log = logging.getLogger(__name__)


class StalledError(EngineError):
    """Nothing has moved for too long although there is work."""


class Watchdog:
    """Compares what is decided with where the logs end.

    *settling* returns something that changes while the worker joins its group and recovers its tables, and None when it
    is done with that.
    """

    def __init__(
        self,
        runner: Runner,
        settling: Callable[[], object],
        stall_seconds: float,
        end: Callable[[BaseException], NoReturn],
    ) -> None:
        self._runner = runner
        self._settling = settling
        self._stall_seconds = stall_seconds
        self._end = end
        self._settled: tuple[object, float] = (None, 0.0)
        self._seen: dict[TP, tuple[int, float]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._stall_seconds / 5)
            if self.settles_too_long(self._settling(), time.monotonic()):
                self._end(StalledError("joining the group or reading the tables' logs does not come forward"))
            try:
                bounds = await self._runner.logs.bounds(self._runner.lanes)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("cannot ask Kafka where its logs end: %s", error)
                continue
            stalled = self.stalled(bounds, time.monotonic())
            if stalled:
                self._end(StalledError(f"no progress for {self._stall_seconds:.0f} s with lag: {stalled}"))

    def settles_too_long(self, progress: object, now: float) -> bool:
        """Return whether *progress* of joining and recovering, None once that is done, is the same for too long.

        A rebalance may wait for a paused member until Kafka gives it up, so it gets twice the time.
        """
        if progress is None or progress != self._settled[0]:
            self._settled = (progress, now)
        return now - self._settled[1] >= 2 * self._stall_seconds

    def stalled(self, bounds: Mapping[TP, Bounds], now: float) -> str:
        """Return what has stood still with lag for too long at *now*; empty when all is well."""
        seen: dict[TP, tuple[int, float]] = {}
        stuck = []
        for tp, lane in self._runner.lanes.items():
            end = bounds[tp].end if tp in bounds else None
            decided, since = self._seen.get(tp, (None, now))
            waits_outside = lane.working_since is not None and lane.stage.waiting
            if end is None or lane.decided >= end - 1 or lane.decided != decided or waits_outside:
                since = now
            seen[tp] = (lane.decided, since)
            if now - since >= self._stall_seconds:
                stuck.append(f"{tp.topic}[{tp.partition}] at {lane.decided} of {end}")
        self._seen = seen
        return ", ".join(stuck)
