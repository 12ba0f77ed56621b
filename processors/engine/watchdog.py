"""Ends a worker that has silently stopped or lost its ground: lag that nobody works on, a log that was made anew.

Consumers have stopped without a word after broker outages, and recovery's errors are logged and swallowed by Faust. A
consumer whose topic is deleted and made again begins at its start without a word, too, where everything looks decided.
And where nothing comes any more, nothing but a look at its output log tells a worker that another has written there.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from aiokafka.errors import KafkaError
from faust.types import TP

from processors.engine.changelog_table import ChangelogTable
from processors.engine.errors import EngineError, InterleavedWriterError, TruncatedLogError
from processors.engine.offsets import LogOffsets
from processors.engine.runner import Runner

log = logging.getLogger(__name__)


class StalledError(EngineError):
    """Nothing has moved for too long although there is work."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a worker may stand still."""

    stall_seconds: float
    """With lag."""
    settle_seconds: float
    """While it joins its group or reads its tables' logs: more than a rebalance may take."""


class Watchdog:
    """Compares what is decided with where the logs end.

    *settling* returns something that changes while the worker joins its group and recovers its tables, and None when it
    is done with that.
    """

    def __init__(
        self,
        runner: Runner,
        tables: Sequence[ChangelogTable],
        settling: Callable[[], object],
        limits: Limits,
        end: Callable[[BaseException], NoReturn],
    ) -> None:
        self._runner = runner
        self._tables = tables
        self._settling = settling
        self._stall_seconds = limits.stall_seconds
        self._settle_seconds = limits.settle_seconds
        self._end = end
        self._settled: tuple[object, float] = (None, 0.0)
        self._seen: dict[TP, tuple[int, float]] = {}
        self._short: set[TP] = set()
        self._beyond: dict[TP, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._stall_seconds / 5)
                await self._look()
        except Exception as error:  # noqa: BLE001  # unwatched, a worker may stand still for ever
            self._end(error)

    async def _look(self) -> None:
        if self.settles_too_long(self._settling(), time.monotonic()):
            log.critical("every task, and where it waits:\n%s", waiting_tasks())
            self._end(StalledError("joining the group or reading the tables' logs does not come forward"))
        processed_offset = {tp: lane.processed_offset for tp, lane in self._runner.lanes.items()}
        applied = self._applied()
        try:
            bounds = await self._runner.logs.bounds(processed_offset.keys() | applied.keys())
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("cannot ask Kafka where its logs end: %s", error)
            return
        if truncated := self.truncated(processed_offset, bounds):
            self._end(TruncatedLogError(f"the topic was deleted and made again: {truncated}"))
        if interleaved := self.interleaved(applied, bounds):
            self._end(InterleavedWriterError(f"another worker has written: {interleaved}"))
        if stalled := self.stalled(bounds, time.monotonic()):
            log.critical("every task, and where it waits:\n%s", waiting_tasks())
            self._end(StalledError(f"no progress for {self._stall_seconds:.0f} s with lag: {stalled}"))

    def _applied(self) -> dict[TP, int]:
        """Return how far each output log is applied whose lane is here and at rest: one at work writes itself."""
        lanes = self._runner.lanes
        return {
            tp: position
            for table in self._tables
            for tp, position in table.applied().items()
            if (lane := lanes.get(TP(table.source, tp.partition))) is not None
            and lane.ready.done()
            and lane.working_since is None
        }

    def settles_too_long(self, progress: object, now: float) -> bool:
        """Return whether *progress* of joining and recovering, None once that is done, is the same for too long."""
        if progress is None or progress != self._settled[0]:
            self._settled = (progress, now)
        return now - self._settled[1] >= self._settle_seconds

    def truncated(self, processed_offset: Mapping[TP, int], bounds: Mapping[TP, LogOffsets]) -> str:
        """Return which logs end below what was *decided* before their bounds were asked for; empty when all is well.

        A new leader may not know for a moment how far its log is committed, so it takes two looks in a row.
        """
        short = {tp for tp, log in bounds.items() if log.end <= processed_offset.get(tp, -1)}
        both, self._short = short & self._short, short
        return ", ".join(
            f"{tp.topic}[{tp.partition}] ends at {bounds[tp].end - 1} below {processed_offset[tp]}" for tp in both
        )

    def interleaved(self, applied: Mapping[TP, int], bounds: Mapping[TP, LogOffsets]) -> str:
        """Return which output logs go on after what is *applied* of them, twice in a row at the same place.

        Once is no sign: an own write may be acknowledged and not applied yet.
        """
        beyond = {tp: position for tp, position in applied.items() if tp in bounds and bounds[tp].end > position + 1}
        both = [tp for tp, position in beyond.items() if self._beyond.get(tp) == position]
        self._beyond = beyond
        return ", ".join(f"{tp.topic}[{tp.partition}] ends at {bounds[tp].end - 1} after {applied[tp]}" for tp in both)

    def stalled(self, bounds: Mapping[TP, LogOffsets], now: float) -> str:
        """Return what has stood still with lag for too long at *now*; empty when all is well."""
        seen: dict[TP, tuple[int, float]] = {}
        stuck = []
        for tp, lane in self._runner.lanes.items():
            end = bounds[tp].end if tp in bounds else None
            processed_offset, since = self._seen.get(tp, (None, now))
            waits_outside = lane.stage.waiting and (lane.working_since is not None or not lane.ready.done())
            if (
                end is None
                or lane.processed_offset >= end - 1
                or lane.processed_offset != processed_offset
                or waits_outside
            ):
                since = now
            seen[tp] = (lane.processed_offset, since)
            if now - since >= self._stall_seconds:
                stuck.append(f"{tp.topic}[{tp.partition}] at {lane.processed_offset} of {end}")
        self._seen = seen
        return ", ".join(stuck)


def waiting_tasks() -> str:
    """Return a line for each task of every event loop of this process: the innermost places where it waits.

    Without them a worker that stood still could only be asked while it stood.
    """
    lines = []
    # The consumer has a loop of its own, whose tasks `asyncio.all_tasks` does not tell.
    # By the type alone: some objects answer what class they are with an error.
    for task in [found for found in gc.get_objects() if issubclass(type(found), asyncio.Task) and not found.done()]:
        places = []
        waiter: Any = task.get_coro()
        while waiter is not None:
            frame = getattr(waiter, "cr_frame", None) or getattr(waiter, "gi_frame", None)
            if frame is not None:
                places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
            waiter = getattr(waiter, "cr_await", None) or getattr(waiter, "gi_yieldfrom", None)
        lines.append(" > ".join(places[-6:]))
    return "\n".join(sorted(lines))
