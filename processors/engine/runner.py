"""Runs stages: takes slices from Faust's stream, one lane for each partition, and acknowledges what is done.

All partitions go side by side, each with one slice in work. Before a slice reaches its stage the runner checks that it
continues where the partition stands ('contiguous in'): whatever the framework, a paused process or a rebalance does,
records that fell on the way end the process instead of being lost.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from faust.types import TP

from processors.engine import contiguous, failpoints
from processors.engine.errors import ExpiredInputError, TruncatedLogError
from processors.engine.offsets import LogOffsets, OffsetReader
from processors.engine.stage import Positions, RecordBatch, SourceRecord, Stage

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""How long a rebalance or a shutdown waits for slices in work; what takes longer is done again elsewhere."""
PENDING_BYTES = 32 * 1024 * 1024
"""How much of a partition waits in memory at most, beyond the fetch that exceeds it: a stage may wait for hours."""


@dataclass(slots=True)
class BatchLinger:
    """When the slices of a stage set out: together, so that what they write can go together, and no sooner again."""

    seconds: float
    began: float = -math.inf

    def due(self) -> float:
        """Return when the next slices set out, on `time.monotonic`; at once where the last did long ago."""
        return self.began + self.seconds

    def begin(self) -> None:
        """Slices set out now."""
        self.began = time.monotonic()


@dataclass(slots=True)
class PartitionTask:
    """One partition of one stage: what waits, and how far it is decided."""

    stage: Stage
    tp: TP
    pace: BatchLinger
    ready: asyncio.Future[None]
    """Done when `decided` is known."""
    processed_offset: int = -1
    pending: deque[tuple[Any, int]] = field(default_factory=deque)
    """Faust's events, each of which carries a slice, and the bytes of it."""
    pending_records: int = 0
    pending_bytes: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    held_back: bool = False
    working_since: float | None = None
    task: asyncio.Task[None] | None = None
    closing: bool = False

    def put(self, event: Any) -> None:
        """Add a Faust event that carries a slice."""
        size_bytes = event.value.size_bytes
        self.pending.append((event, size_bytes))
        self.pending_records += len(event.value.records)
        self.pending_bytes += size_bytes
        self.news.set()

    @property
    def is_full(self) -> bool:
        """Whether enough waits for the stage: the next slice, and a bounded number of bytes."""
        return self.pending_records >= self.stage.max_records or self.pending_bytes >= PENDING_BYTES

    async def take(self) -> list[Any]:
        """Return the events of the next slice: what is there when it is full, or when the stage's slices set out."""
        while not self.pending:
            self.news.clear()
            await self.news.wait()
        due = self.pace.due()
        while self.pending_records < self.stage.max_records and (wait := due - time.monotonic()) > 0:
            self.news.clear()
            try:
                # Not `wait_for`, which makes a task each time: something comes many times a second.
                async with asyncio.timeout(wait):
                    await self.news.wait()
            except TimeoutError:
                break
        self.pace.begin()
        taken: list[Any] = []
        count = 0
        while self.pending and (not taken or count + len(self.pending[0][0].value.records) <= self.stage.max_records):
            event, size_bytes = self.pending.popleft()
            taken.append(event)
            count += len(event.value.records)
            self.pending_bytes -= size_bytes
        self.pending_records -= count
        return taken

    def join(self, events: list[Any]) -> RecordBatch | None:
        """Return the slice of *events* without what is decided already; None where nothing is left."""
        records: list[SourceRecord] = []
        due = self.processed_offset + 1
        for event in events:
            run: RecordBatch = event.value
            contiguous.check_input(self.tp, run, due, compacted=self.stage.compacted)
            records.extend(run.records if run.first_offset >= due else (r for r in run.records if r.offset >= due))
            due = max(due, run.last_offset + 1)
        return RecordBatch(self.tp.topic, self.tp.partition, records, self.processed_offset + 1) if records else None


class Runner:
    """Drives the stages of one worker."""

    def __init__(self, stages: Iterable[Stage], logs: OffsetReader, end: Callable[[BaseException], NoReturn]) -> None:
        self.logs = logs
        self.stages = {stage.topic: stage for stage in stages}
        self.lanes: dict[TP, PartitionTask] = {}
        self._end = end
        self._consumer: Any = None
        self._learning: set[asyncio.Task[None]] = set()
        self._letting_go = asyncio.Lock()

    @property
    def started(self) -> bool:
        """Whether the stages are connected."""
        return self._consumer is not None

    async def start(self, consumer: Any) -> None:
        """Connect the stages."""
        self._consumer = consumer
        for stage in self.stages.values():
            await stage.start(consumer.lease_until)

    async def stop(self) -> None:
        """Finish what is in work and let the stages go."""
        await self.revoke()
        for stage in self.stages.values():
            await stage.stop()

    def assign(self, assignment: Iterable[TP]) -> None:
        """Open a lane for each partition in *assignment*; their tables are recovered."""
        for topic, stage in self.stages.items():
            tps = frozenset(tp for tp in assignment if tp.topic == topic)
            if not tps:
                continue
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            pace = BatchLinger(stage.linger_seconds)
            for tp in tps:
                lane = self.lanes[tp] = PartitionTask(stage, tp, pace, ready)
                lane.task = self._guarded(self._work(lane))
            lanes = [self.lanes[tp] for tp in tps]
            learning = self._guarded(self._learn_positions(stage, lanes, ready))
            self._learning.add(learning)
            learning.add_done_callback(self._learning.discard)

    async def revoke(self) -> None:
        """Close all lanes: what is in work may finish within `DRAIN_SECONDS`, what waits is left for the next owner.

        Returns when nothing is in work, also where somebody else has begun to close them.
        """
        async with self._letting_go:
            await self._let_go()

    async def _let_go(self) -> None:
        # What one learns too late would replace what the next one knows.
        learning = list(self._learning)
        for task in learning:
            task.cancel()
        lanes, self.lanes = list(self.lanes.values()), {}
        for lane in lanes:
            lane.closing = True
        tasks = [lane.task for lane in lanes if lane.task is not None]
        for lane, task in zip(lanes, tasks, strict=True):
            if lane.working_since is None:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *learning, return_exceptions=True)
        if lanes:
            await self._consumer.commit()
            log.info("let go of %d partitions", len(lanes))

    def submit(self, event: Any) -> None:
        """Hand a Faust event to its lane and hold its partition back when enough is waiting."""
        lane = self.lanes.get(event.message.tp)
        if lane is None or lane.closing:
            return
        lane.put(event)
        if not lane.held_back and lane.is_full:
            lane.held_back = True
            self._consumer.on_buffer_full(lane.tp)

    async def _work(self, lane: PartitionTask) -> None:
        await asyncio.shield(lane.ready)
        while not lane.closing:
            events = await lane.take()
            if lane.held_back and not lane.is_full:
                lane.held_back = False
                self._consumer.on_buffer_drop(lane.tp)
            lane.working_since = time.monotonic()
            run = lane.join(events)
            if run is not None:
                await self._process(lane.stage, run)
                failpoints.hit("processed")
                lane.processed_offset = run.last_offset
            for event in events:
                event.ack()
            lane.working_since = None

    async def _process(self, stage: Stage, run: RecordBatch) -> None:
        await stage.process(run)

    async def _learn_positions(self, stage: Stage, lanes: list[PartitionTask], ready: asyncio.Future[None]) -> None:
        tps = [lane.tp for lane in lanes]
        positions = await stage.assigned(frozenset(tp.partition for tp in tps))
        bounds = await self.logs.bounds(tps)
        committed = await self._consumer.thread.committed(tps)
        await self._check_remembered_offsets(positions)
        for lane in lanes:
            lane.processed_offset = first_processed_offset(
                lane.tp, positions.processed_offsets.get(lane.tp.partition), committed[lane.tp], bounds[lane.tp]
            )
        log.info("%s: at work on partitions %s", stage.topic, ", ".join(str(tp.partition) for tp in sorted(tps)))
        if not ready.done():
            ready.set_result(None)

    async def _check_remembered_offsets(self, positions: Positions) -> None:
        remembered = {
            TP(topic, partition): offset for (topic, partition), offset in positions.remembered_offsets.items()
        }
        bounds = await self.logs.bounds(remembered)
        for tp, offset in remembered.items():
            if offset >= bounds[tp].end:
                raise TruncatedLogError(
                    f"{tp.topic}[{tp.partition}] ends at {bounds[tp].end - 1}, but offset {offset} is remembered of "
                    f"it: the topic was deleted and made again. Give it a new epoch in its name"
                )

    def _guarded(self, work: Any) -> asyncio.Task[None]:
        async def guard() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  # whatever it is, the process ends
                self._end(error)

        return asyncio.get_running_loop().create_task(guard())


def first_processed_offset(tp: TP, known: int | None, committed: int | None, log: LogOffsets) -> int:
    """Return the highest offset of *tp* that needs no work: from the stage's own knowledge and the committed offset.

    Raises `ExpiredInputError` when records
    that nobody has decided are gone, and `TruncatedLogError` when the log ends below what was committed.
    """
    start, end = log
    if committed is not None and committed > end:
        raise TruncatedLogError(
            f"{tp.topic}[{tp.partition}] ends at {end - 1}, but {committed} is committed: the topic was deleted and "
            f"made again. Give it a new epoch in its name"
        )
    processed_offset = max(known if known is not None else -1, committed - 1 if committed is not None else -1)
    fresh = known is None and committed is None
    if processed_offset + 1 < start and not fresh:
        raise ExpiredInputError(
            f"{tp.topic}[{tp.partition}]: offsets {processed_offset + 1} to {start - 1} expired before they were read. They are "
            f"lost to this step; commit offset {start} for its consumer group to go on without them"
        )
    return max(processed_offset, start - 1)
