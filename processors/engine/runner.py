"""Runs the stages of a worker: one task for each assigned partition, fed from Faust's streams.

Partitions are processed concurrently, each with one batch at a time. Input is acknowledged when the stage has made a
batch durable. Any exception exits the process, because Faust would acknowledge the batch that failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from time import monotonic
from typing import Any, NoReturn, Protocol, TypeVar

from aiokafka.errors import IllegalStateError
from faust.types import TP

from processors.engine import failpoints, start_offsets
from processors.engine.errors import RecreatedTopicError, TruncatedLogError
from processors.engine.offsets import STALE_SECONDS, OffsetReader
from processors.engine.partition_task import Backlog, BatchLinger, PartitionTask, Progress
from processors.engine.stage import AssignedOffsets, InputOffsets, RecordBatch, Stage
from processors.engine.start_offsets import RECREATED

log = logging.getLogger(__name__)

T = TypeVar("T")

DRAIN_SECONDS = 5.0
"""How long a rebalance or a shutdown waits for batches in process; the next owner processes what takes longer."""


class BatchObserver(Protocol):
    """Notes what the metrics need to know of batches."""

    def fetched(self, tp: TP, batch: RecordBatch) -> None:
        """Note that *batch* was fetched."""

    def processed(self, tp: TP, batch: RecordBatch, seconds: float) -> None:
        """Note that the outputs of *batch* are durable after *seconds*."""


class Runner:
    """Drives the stages of one worker."""

    def __init__(
        self,
        stages: Iterable[Stage],
        offsets: OffsetReader,
        on_error: Callable[[BaseException], NoReturn],
        worker: str = "",
        observer: BatchObserver | None = None,
    ) -> None:
        self._observer = observer
        self.stages = {stage.topic: stage for stage in stages}
        self._worker = worker
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

    def backlogs(self) -> dict[TP, Backlog]:
        """Return what waits in each assigned partition."""
        return {tp: task.backlog() for tp, task in self._tasks.items()}

    def commit_metadata(self, tp: TP) -> str:
        """Return what the stage of *tp* notes with a commit; any thread may call this."""
        stage = self.stages.get(tp.topic)
        return "" if stage is None else stage.commit_metadata(tp.partition)

    async def start(self, consumer: Any) -> None:
        """Connect the stages."""
        self._consumer = consumer
        for stage in self.stages.values():
            await stage.start(consumer.membership)

    async def stop(self) -> None:
        """Finish batches in process, then stop the stages."""
        await self.revoke()
        for stage in self.stages.values():
            await stage.stop()

    def assign(self, assignment: Iterable[TP]) -> None:
        """Start a task for each partition in *assignment*; its table is recovered.

        Nothing is fetched from a partition until it is known where it starts.
        """
        for topic, stage in self.stages.items():
            tps = frozenset(tp for tp in assignment if tp.topic == topic)
            if not tps:
                continue
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            linger = BatchLinger(stage.linger_seconds)
            tasks = [PartitionTask(stage, tp, linger, ready) for tp in tps]
            for task in tasks:
                self._tasks[task.tp] = task
                self._consumer.hold(task.tp)
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
        if self._observer is not None:
            self._observer.fetched(task.tp, event.value)
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
                if self._observer is not None:
                    self._observer.processed(task.tp, batch, monotonic() - task.batch_started)
                task.processed_offset = batch.last_offset
            for event in events:
                event.ack()
            task.processing = False

    async def _load_positions(self, stage: Stage, tasks: list[PartitionTask], ready: asyncio.Future[None]) -> None:
        tps = [task.tp for task in tasks]
        inputs, processed = await self._until_ends_are_new(lambda: self._decide(stage, tps))
        seeks: dict[TP, int] = {}
        for task in tasks:
            tp = task.tp
            task.processed_offset = processed[tp]
            if (offset := start_offsets.seek_offset(inputs[tp], task.processed_offset)) is not None:
                seeks[tp] = offset
        try:
            if seeks:
                await self._consumer.start_at(seeks)
        except IllegalStateError:
            log.debug("%s: a rebalance has begun, and its assignment is decided anew", stage.topic)
            return
        self._consumer.thread.proofs.note({tp: seeks.get(tp, inputs[tp].start) for tp in tps})
        for tp in tps:
            self._consumer.release(tp)
        numbers = ", ".join(str(tp.partition) for tp in sorted(tps))
        seconds = monotonic() - self._idle_since
        log.info("%s: partitions assigned, recovery complete: %s (after %.1f s)", stage.topic, numbers, seconds)
        if not ready.done():
            ready.set_result(None)

    async def _decide(self, stage: Stage, tps: list[TP]) -> tuple[dict[TP, InputOffsets], dict[TP, int]]:
        """Return what Kafka knows of *tps*, and the highest offset of each that needs no processing."""
        inputs = await self._inputs(tps)
        for tp in tps:
            start_offsets.check_committed(tp, inputs[tp])
        positions = await stage.assigned({tp.partition: inputs[tp] for tp in tps})
        await self._check_remembered_offsets(positions)
        # The stage may have waited for hours.
        inputs = await self._inputs(tps)
        return inputs, {tp: start_offsets.processed_offset(tp, inputs[tp], positions, self._worker) for tp in tps}

    async def _until_ends_are_new(self, decide: Callable[[], Awaitable[T]]) -> T:
        """Return the result of *decide*, repeated for a while when a log ends below a known offset.

        A broker that is cut off from the others answers with the end that it knows, until its clients hear of the new
        leader.
        """
        deadline = monotonic() + STALE_SECONDS
        while True:
            try:
                return await decide()
            except TruncatedLogError as error:
                if isinstance(error, RecreatedTopicError) or monotonic() > deadline:
                    raise
                log.info("asking Kafka again, as one of its brokers may be cut off from the others: %s", error)
            await asyncio.sleep(STALE_SECONDS / 10)
            await self.offsets.renew()

    async def _inputs(self, tps: list[TP]) -> dict[TP, InputOffsets]:
        offsets = await self.offsets.read(tps)
        committed = await self._consumer.thread.committed(tps)
        return {tp: InputOffsets(*offsets[tp], *committed.get(tp, ())) for tp in tps}

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
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and not task.cancelling():
                    # Nobody has cancelled it: a library lets a cancellation of its own escape.
                    self._on_error(error)
                raise
            except Exception as error:  # noqa: BLE001  # any error exits the process
                self._on_error(error)

        return asyncio.get_running_loop().create_task(guarded())
