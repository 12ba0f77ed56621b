"""The lag of each input partition, in records and in seconds, measured when it is asked for.

The lag in records is the end of the log less the next offset to process. The lag in seconds is the age of the record at
that offset, by the broker's clock. Its time is known if the record was fetched, and is read from Kafka otherwise.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple, Protocol

from aiokafka.errors import KafkaError
from faust.types import TP

from processors.engine.offsets import LogOffsets
from processors.engine.partition_task import Backlog
from processors.engine.stage import RecordBatch
from schemas.broker_clock import BrokerClock

TIMEOUT_SECONDS = 3.0
"""Longest time for one measurement; a scrape waits no longer."""
CACHED_SECONDS = 1.0
_offset = attrgetter("offset")


@dataclass(frozen=True, slots=True)
class Lag:
    """What is not processed of a partition."""

    records: int
    seconds: float


class _Log(NamedTuple):
    """Bounds of a log, and when Kafka was asked for them, in seconds since 1970 by this worker's clock."""

    start: int
    end: int
    asked_at: float


class _Oldest(NamedTuple):
    """The broker's time of the record to process next, in seconds since 1970."""

    offset: int
    time: float
    exact: bool
    """Whether it was read. Otherwise the record is at least as old."""


class Logs(Protocol):
    """What the lag asks of Kafka; `OffsetReader` has this shape."""

    async def read(self, partitions: Iterable[TP]) -> Mapping[TP, LogOffsets]:
        """Return the offsets of each log."""

    async def committed(self, group: str, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """Return the offset of each partition that *group* has committed."""

    async def times(self, offsets: Mapping[TP, int]) -> Mapping[TP, int]:
        """Return the broker's time of the first record at or after each offset, in milliseconds since 1970."""


class LagReader:
    """Measures the lag of the partitions that are assigned to a worker."""

    def __init__(
        self,
        group: str,
        logs: Logs,
        clock: BrokerClock,
        assigned: Callable[[], Collection[TP]],
        backlogs: Callable[[], Mapping[TP, Backlog]],
    ) -> None:
        self._group = group
        self._kafka = logs
        self.clock = clock
        """The brokers' clock."""
        self._assigned = assigned
        self._backlogs = backlogs
        self._logs: dict[TP, _Log] = {}
        self._committed: dict[TP, int] = {}
        """Of partitions of which the worker does not know yet where they start."""
        self._oldest: dict[TP, _Oldest] = {}
        self._measuring: asyncio.Task[None] | None = None
        self._began_at = float("-inf")
        self._answered_at = time.monotonic()

    @property
    def unknown_seconds(self) -> float | None:
        """Time since Kafka last answered; None if no partition is assigned, so that it was not asked."""
        if not self._assigned_partitions(self._backlogs()):
            return None
        return time.monotonic() - self._answered_at

    async def measure(self) -> None:
        """Ask Kafka, at most once in `CACHED_SECONDS`, however often this is called. Raises nothing."""
        finished = self._measuring is None or self._measuring.done()
        if finished and time.monotonic() - self._began_at >= CACHED_SECONDS:
            self._began_at = time.monotonic()
            self._measuring = asyncio.get_running_loop().create_task(self._measure())
        if self._measuring is not None:
            await asyncio.shield(self._measuring)

    def lags(self) -> dict[TP, Lag]:
        """Return the lag of each assigned partition as far as it is known."""
        backlogs = self._backlogs()
        assigned = self._assigned_partitions(backlogs)
        return {tp: self._lag(tp, log, backlogs.get(tp)) for tp, log in self._logs.items() if tp in assigned}

    def fetched(self, tp: TP, batch: RecordBatch) -> None:
        """Measure the brokers' clock by *batch*, which was just fetched.

        The record at the end of the log, as it was when Kafka was asked, was appended after that.
        """
        log = self._logs.get(tp)
        if log is not None and batch.first_offset <= log.end <= batch.last_offset:
            # On a compacted topic it may be a later one, which was appended later still.
            record = batch.records[bisect_left(batch.records, log.end, key=_offset)]
            self.clock.observe(record.timestamp, log.asked_at, time.time())

    def _lag(self, tp: TP, log: _Log, backlog: Backlog | None) -> Lag:
        following = self._following(tp, log, backlog)
        if log.end <= following:
            return Lag(0, 0.0)
        oldest = self._time(tp, following, backlog)
        if oldest is None:
            # The record was there when Kafka was asked.
            oldest = self.clock.now(log.asked_at)
        return Lag(log.end - following, max(0.0, self.clock.now(time.time()) - oldest))

    def _following(self, tp: TP, log: _Log, backlog: Backlog | None) -> int:
        """Return the next offset of *tp* to process."""
        if backlog is not None and backlog.ready:
            return max(log.start, backlog.processed_offset + 1)
        return max(log.start, self._committed.get(tp, 0))

    def _time(self, tp: TP, following: int, backlog: Backlog | None) -> float | None:
        """Return the broker's time of the record of *tp* at or after *following*, None if it is not known."""
        if backlog is not None and backlog.ready and backlog.oldest_ms is not None:
            return backlog.oldest_ms / 1000
        oldest = self._oldest.get(tp)
        return oldest.time if oldest is not None and oldest.offset == following else None

    def _assigned_partitions(self, backlogs: Mapping[TP, Backlog]) -> set[TP]:
        return {*self._assigned(), *backlogs}

    async def _measure(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._read_logs()
                await self._read_times()
        except (KafkaError, OSError, TimeoutError):
            # `unknown_seconds` tells, and the watchdog logs it.
            return

    async def _read_logs(self) -> None:
        backlogs = self._backlogs()
        assigned = self._assigned_partitions(backlogs)
        asked_at = time.time()
        found = await self._kafka.read(assigned)
        unknown = [tp for tp in assigned if tp not in backlogs or not backlogs[tp].ready]
        self._committed = dict(await self._kafka.committed(self._group, unknown))
        self._logs = {tp: _Log(start, end, asked_at) for tp, (start, end) in found.items()}
        self._answered_at = time.monotonic()

    async def _read_times(self) -> None:
        """Read the time of each record to process next that this worker has not fetched."""
        backlogs = self._backlogs()
        wanted: dict[TP, int] = {}
        for tp, log in self._logs.items():
            following = self._following(tp, log, backlogs.get(tp))
            oldest = self._oldest.get(tp)
            if following >= log.end or (oldest is not None and oldest.offset == following and oldest.exact):
                continue
            if self._time(tp, following, backlogs.get(tp)) is None:
                self._oldest[tp] = _Oldest(following, self.clock.now(log.asked_at), exact=False)
            if tp not in backlogs or backlogs[tp].oldest_ms is None:
                wanted[tp] = following
        for tp, time_ms in (await self._kafka.times(wanted)).items():
            self._oldest[tp] = _Oldest(wanted[tp], time_ms / 1000, exact=True)
