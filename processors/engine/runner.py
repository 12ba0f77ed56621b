"""Runs the stages of a worker: one task for each assigned partition, fed from Faust's streams.

Partitions are processed concurrently, each with one batch at a time. Input is acknowledged when the stage has made a
batch durable. Any exception exits the process, because Faust would acknowledge the batch that failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from time import monotonic
from typing import Any, NoReturn

from faust.types import TP

from processors.engine import failpoints
from processors.engine.errors import ExpiredInputError, TruncatedLogError
from processors.engine.offsets import LogOffsets, OffsetReader
from processors.engine.partition_task import BatchLinger, PartitionTask, Progress
from processors.engine.stage import AssignedOffsets, Stage

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""How long a rebalance or a shutdown waits for batches in process; the next owner processes what takes longer."""
RECREATED = (
    "Topic was deleted and recreated, and offsets of the old topic mean nothing in the new one. Set a new "
    "SEQUENCE_TOPIC_PREFIX and a new SEQUENCE_CLICKHOUSE_DATABASE, or restore the topic."
)
"""What a log that ends below a known offset means, and what to do."""


class Runner:
    """Drives the stages of one worker."""

    def __init__(
        self, stages: Iterable[Stage], offsets: OffsetReader, on_error: Callable[[BaseException], NoReturn]
    ) -> None:
        self.stages = {stage.topic: stage for stage in stages}
        self.offsets = offsets
        self._on_error = on_error
        self._tasks: dict[TP, PartitionTask] = {}
        self._consumer: Any = None
        self._assigning: set[asyncio.Task[None]] = set()
        self._revoking = asyncio.Lock()
        self._idle_since = monotonic()

    @property
    def started(self) -> bool:
        """Whether the stages are connected."""
        return self._consumer is not None

    def progress(self) -> dict[TP, Progress]:
        """Return a snapshot of every assigned partition."""
        return {tp: task.progress() for tp, task in self._tasks.items()}

    async def start(self, consumer: Any) -> None:
        """Connect the stages."""
        self._consumer = consumer
        for stage in self.stages.values():
            await stage.start(consumer.lease_until)

    async def stop(self) -> None:
        """Finish batches in process, then stop the stages."""
        await self.revoke()
        for stage in self.stages.values():
            await stage.stop()

    def assign(self, assignment: Iterable[TP]) -> None:
        """Start a task for each partition in *assignment*; its table is recovered."""
        for topic, stage in self.stages.items():
            tps = frozenset(tp for tp in assignment if tp.topic == topic)
            if not tps:
                continue
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            linger = BatchLinger(stage.linger_seconds)
            tasks = [PartitionTask(stage, tp, linger, ready) for tp in tps]
            for task in tasks:
                self._tasks[task.tp] = task
                task.task = self._exit_on_error(self._run(task))
            assigning = self._exit_on_error(self._load_positions(stage, tasks, ready))
            self._assigning.add(assigning)
            assigning.add_done_callback(self._assigning.discard)

    async def revoke(self) -> None:
        """Close all partitions: batches in process may finish within `DRAIN_SECONDS`, pending ones are dropped.

        Returns when nothing is in process, even if another call has begun to close them.
        """
        async with self._revoking:
            await self._revoke()

    async def _revoke(self) -> None:
        # Positions that arrive after the revocation would replace those of the next assignment.
        assigning = list(self._assigning)
        for each in assigning:
            each.cancel()
        revoked, self._tasks = list(self._tasks.values()), {}
        for task in revoked:
            task.closing = True
        running = [task.task for task in revoked if task.task is not None]
        for task, run in zip(revoked, running, strict=True):
            if not task.processing:
                run.cancel()
        if running:
            await asyncio.wait(running, timeout=DRAIN_SECONDS)
        for run in running:
            run.cancel()
        await asyncio.gather(*running, *assigning, return_exceptions=True)
        if revoked:
            await self._consumer.commit()
            self._idle_since = monotonic()
            log.info("partitions revoked: %d", len(revoked))

    def submit(self, event: Any) -> None:
        """Pass a Faust event to the task of its partition; pause fetching if enough is pending there."""
        task = self._tasks.get(event.message.tp)
        if task is None or task.closing:
            return
        task.enqueue(event)
        if not task.paused and task.is_full:
            task.paused = True
            self._consumer.on_buffer_full(task.tp)

    async def _run(self, task: PartitionTask) -> None:
        await asyncio.shield(task.ready)
        while not task.closing:
            events = await task.next_events()
            if task.paused and not task.is_full:
                task.paused = False
                self._consumer.on_buffer_drop(task.tp)
            task.processing = True
            batch = task.merge(events)
            if batch is not None:
                await task.process(batch)
                failpoints.hit("processed")
                task.processed_offset = batch.last_offset
            for event in events:
                event.ack()
            task.processing = False

    async def _load_positions(self, stage: Stage, tasks: list[PartitionTask], ready: asyncio.Future[None]) -> None:
        tps = [task.tp for task in tasks]
        positions = await stage.assigned(frozenset(tp.partition for tp in tps))
        offsets = await self.offsets.read(tps)
        committed = await self._consumer.thread.committed(tps)
        await self._check_remembered_offsets(positions)
        for task in tasks:
            known = positions.processed_offsets.get(task.tp.partition)
            task.processed_offset = first_processed_offset(task.tp, known, committed[task.tp], offsets[task.tp])
        numbers = ", ".join(str(tp.partition) for tp in sorted(tps))
        seconds = monotonic() - self._idle_since
        log.info("%s: partitions assigned, recovery complete: %s (after %.1f s)", stage.topic, numbers, seconds)
        if not ready.done():
            ready.set_result(None)

    async def _check_remembered_offsets(self, positions: AssignedOffsets) -> None:
        remembered = {
            TP(topic, partition): offset for (topic, partition), offset in positions.remembered_offsets.items()
        }
        for tp, (_, log_end) in (await self.offsets.read(remembered)).items():
            if remembered[tp] >= log_end:
                raise TruncatedLogError(
                    f"{tp.topic}[{tp.partition}] ends at {log_end - 1}, but offset {remembered[tp]} was already "
                    f"processed. {RECREATED}"
                )

    def _exit_on_error(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  # any error exits the process
                self._on_error(error)

        return asyncio.get_running_loop().create_task(guarded())


def first_processed_offset(tp: TP, known: int | None, committed: int | None, offsets: LogOffsets) -> int:
    """Return the highest offset of *tp* that needs no processing: what the stage knows, or what the group committed.

    Raises `ExpiredInputError` if records above it have expired, and `TruncatedLogError` if the log ends below what was
    committed.
    """
    log_start, log_end = offsets
    if committed is not None and committed > log_end:
        raise TruncatedLogError(
            f"{tp.topic}[{tp.partition}] ends at {log_end - 1}, but the consumer group committed offset {committed}. "
            f"{RECREATED}"
        )
    processed_offset = max(known if known is not None else -1, committed - 1 if committed is not None else -1)
    fresh = known is None and committed is None
    if processed_offset + 1 < log_start and not fresh:
        raise ExpiredInputError(
            f"{tp.topic}[{tp.partition}]: offsets {processed_offset + 1} to {log_start - 1} expired before they were "
            f"read and are lost to this stage. To continue without them, commit offset {log_start} for its consumer "
            f"group; to keep more, raise the topic's retention."
        )
    return max(processed_offset, log_start - 1)
