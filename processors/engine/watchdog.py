"""Liveness watchdog: exits the process when it stops making progress or when its logs changed under it.

Three cases are silent otherwise. Consumers have stopped fetching after broker outages, and Faust logs and swallows
errors of recovery. A consumer whose topic was recreated starts again at offset 0, where everything looks processed. An
idle worker learns only from its output log that another worker has written there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from aiokafka.errors import KafkaError
from faust.types import TP

from processors.engine.changelog_table import ChangelogTable
from processors.engine.errors import InterleavedWriterError, StalledError, TruncatedLogError
from processors.engine.kafka_log import KafkaLog
from processors.engine.offsets import LogOffsets
from processors.engine.runner import Runner
from processors.engine.start_offsets import RECREATED

TRUNCATED_TIMES = 4
"""How often in a row a log must end too low."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a worker may make no progress."""

    stall_seconds: float
    """With lag."""
    recovery_seconds: float
    """While it joins the consumer group or recovers tables: more than a rebalance may take."""


class WorkerState(Protocol):
    """What the watchdog asks of the worker."""

    kafka_log: KafkaLog

    def recovery_progress(self) -> object:
        """Return a value that changes while the worker joins its group and recovers its tables, None afterwards."""

    def loops(self) -> Sequence[asyncio.AbstractEventLoop]:
        """Return every event loop of the process."""

    async def check_topics(self) -> None:
        """Raise `TruncatedLogError` if a topic was deleted and created again while this worker runs."""


class Watchdog:
    """Compares the processed offsets with the ends of the logs."""

    def __init__(
        self,
        runner: Runner,
        tables: Sequence[ChangelogTable],
        worker: WorkerState,
        limits: Limits,
        on_error: Callable[[BaseException], NoReturn],
    ) -> None:
        self._runner = runner
        self._tables = tables
        self._worker = worker
        self._limits = limits
        self._on_error = on_error
        self._recovery: tuple[object, float] = (None, 0.0)
        self._seen: dict[TP, tuple[int, float]] = {}
        self._truncated: dict[TP, int] = {}
        self._interleaved: dict[TP, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start watching."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._limits.stall_seconds / 5)
                await self._check()
        except Exception as error:  # noqa: BLE001  # without a watchdog a worker may stall unseen
            self._on_error(error)

    async def _check(self) -> None:
        if self.recovery_stalled(self._worker.recovery_progress(), time.monotonic()):
            self._stall(
                f"No progress for {self._limits.recovery_seconds:.0f} s while joining the consumer group or recovering "
                f"tables."
            )
        # Before the log ends are read: an offset that is processed meanwhile is no sign of a shorter log.
        processed = {tp: progress.processed_offset for tp, progress in self._runner.progress().items()}
        applied = self._applied_offsets()
        try:
            offsets = await self._runner.offsets.read(processed.keys() | applied.keys())
            await self._worker.check_topics()
        except (KafkaError, OSError, TimeoutError) as error:
            self._worker.kafka_log.failed(f"cannot read the ends of the logs: {error!r}")
            return
        truncated = self.truncated(processed, offsets)
        if self._truncated:
            await self._runner.offsets.renew()
        if truncated:
            self._on_error(TruncatedLogError(f"{truncated}. {RECREATED}"))
        if interleaved := self.interleaved(applied, offsets):
            self._on_error(
                InterleavedWriterError(f"Another worker wrote to an output log of this worker: {interleaved}.")
            )
        if stalled := self.stalled(offsets, time.monotonic()):
            self._stall(f"No progress for {self._limits.stall_seconds:.0f} s with lag: {stalled}.")

    def _stall(self, message: str) -> None:
        log.critical("tasks and where each waits:\n%s", waiting_tasks(self._worker.loops()))
        self._on_error(StalledError(message))

    def _applied_offsets(self) -> dict[TP, int]:
        """Return the changelog offsets of idle partitions: one that is processing writes to its log itself."""
        progress = self._runner.progress()
        return {
            tp: offset
            for table in self._tables
            for tp, offset in table.applied_offsets().items()
            if (source := progress.get(TP(table.source, tp.partition))) is not None
            and source.assigned
            and not source.processing
        }

    def recovery_stalled(self, progress: object, now: float) -> bool:
        """Return whether *progress* of recovery has been the same for too long; None if recovery is complete."""
        if progress is None or progress != self._recovery[0]:
            self._recovery = (progress, now)
        return now - self._recovery[1] >= self._limits.recovery_seconds

    def truncated(self, processed: Mapping[TP, int], offsets: Mapping[TP, LogOffsets]) -> str:
        """Return which logs end at or below their *processed* offset, four times in a row; empty if none.

        Once is no sign: a new leader may not know for a moment how far its log is committed, and a broker that is cut
        off from the others answers with the end that it knows.
        """
        short = {tp for tp, (_, log_end) in offsets.items() if log_end <= processed.get(tp, -1)}
        self._truncated = {tp: self._truncated.get(tp, 0) + 1 for tp in short}
        return ", ".join(
            f"{tp.topic}[{tp.partition}] ends at {offsets[tp].log_end - 1}, but offset {processed[tp]} was already "
            f"processed"
            for tp in sorted(tp for tp, times in self._truncated.items() if times >= TRUNCATED_TIMES)
        )

    def interleaved(self, applied: Mapping[TP, int], offsets: Mapping[TP, LogOffsets]) -> str:
        """Return which output logs continue after their *applied* offset, twice in a row at the same one.

        Once is no sign: an own write may be acknowledged and not applied yet.
        """
        beyond = {tp: offset for tp, offset in applied.items() if tp in offsets and offsets[tp].log_end > offset + 1}
        both = [tp for tp, offset in beyond.items() if self._interleaved.get(tp) == offset]
        self._interleaved = beyond
        return ", ".join(
            f"{tp.topic}[{tp.partition}] ends at {offsets[tp].log_end - 1}, but only {applied[tp]} is applied here"
            for tp in both
        )

    def stalled(self, offsets: Mapping[TP, LogOffsets], now: float) -> str:
        """Return the partitions that have had lag without progress for too long at *now*; empty if none."""
        seen: dict[TP, tuple[int, float]] = {}
        stalled = []
        for tp, progress in self._runner.progress().items():
            log_end = offsets[tp].log_end if tp in offsets else 0
            last, since = self._seen.get(tp, (None, now))
            excused = progress.waiting and (progress.processing or not progress.assigned)
            if progress.processed_offset >= log_end - 1 or progress.processed_offset != last or excused:
                since = now
            seen[tp] = progress.processed_offset, since
            if now - since >= self._limits.stall_seconds:
                stalled.append(f"{tp.topic}[{tp.partition}] at {progress.processed_offset} of {log_end}")
        self._seen = seen
        return ", ".join(stalled)


def waiting_tasks(loops: Iterable[asyncio.AbstractEventLoop]) -> str:
    """Return one line for each task of *loops*: the innermost functions and lines where it waits."""
    return "\n".join(sorted(_where(task) for loop in loops for task in asyncio.all_tasks(loop)))


def _where(task: asyncio.Task[Any]) -> str:
    frames = []
    waiter: Any = task.get_coro()
    while waiter is not None:
        frame = getattr(waiter, "cr_frame", None) or getattr(waiter, "gi_frame", None)
        if frame is not None:
            frames.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        waiter = getattr(waiter, "cr_await", None) or getattr(waiter, "gi_yieldfrom", None)
    return " > ".join(frames[-6:])
