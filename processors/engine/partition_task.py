"""One partition of one stage: pending batches, the contiguity check, one batch in process at a time."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from processors.engine import contiguous
from processors.engine.stage import RecordBatch, SourceRecord, Stage

PENDING_BYTES = 32 * 1024 * 1024
"""Pending bytes of a partition at which fetching pauses: a stage may wait for ClickHouse for hours."""


@dataclass(slots=True)
class BatchLinger:
    """Minimum time between batches of all partitions of a stage, so that their outputs are written together."""

    seconds: float
    last_start: float = -math.inf

    def next_start(self) -> float:
        """Return when the next batches may start, on `time.monotonic`."""
        return self.last_start + self.seconds

    def start(self) -> None:
        """Note that batches start now."""
        self.last_start = time.monotonic()


@dataclass(frozen=True, slots=True)
class Progress:
    """Snapshot of one partition for the watchdog."""

    processed_offset: int
    assigned: bool
    """Whether the positions are known and batches may be processed."""
    processing: bool
    """Whether a batch is in process."""
    waiting: bool
    """Whether the stage waits for a system that is down."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in one partition."""

    ready: bool
    """Whether it is known where the partition starts."""
    processed_offset: int
    """Highest offset whose outputs are durable; it means nothing before `ready`."""
    records: int
    """Records that are fetched and not processed."""
    size_bytes: int
    """Bytes of these records, without the batch in process."""
    oldest_ms: int | None
    """The broker's time of the first of these records, None if there is none."""
    batch_started: float | None
    """When the batch in process began, on `time.monotonic`; None if there is none."""


@dataclass(slots=True)
class PartitionTask:
    """Pending and processed batches of one partition."""

    stage: Stage
    tp: TP
    linger: BatchLinger
    ready: asyncio.Future[None]
    """Done when `processed_offset` is known."""
    processed_offset: int = -1
    pending: deque[tuple[Any, int]] = field(default_factory=deque)
    """Faust events whose value is a `RecordBatch`, with its bytes."""
    pending_records: int = 0
    pending_bytes: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a batch was added."""
    paused: bool = False
    """Whether fetching is paused because enough is pending."""
    processing: bool = False
    task: asyncio.Task[None] | None = None
    closing: bool = False
    batch: RecordBatch | None = None
    """The batch in process."""
    batch_started: float = 0.0

    @property
    def is_full(self) -> bool:
        """Whether a whole batch or `PENDING_BYTES` are pending."""
        return self.pending_records >= self.stage.max_records or self.pending_bytes >= PENDING_BYTES

    def enqueue(self, event: Any) -> None:
        """Add a Faust event whose value is a `RecordBatch`."""
        size_bytes = event.value.size_bytes
        self.pending.append((event, size_bytes))
        self.pending_records += len(event.value.records)
        self.pending_bytes += size_bytes
        self.changed.set()

    async def next_events(self) -> list[Any]:
        """Return the events of the next batch, at once if it is full, otherwise after the linger."""
        while not self.pending:
            self.changed.clear()
            await self.changed.wait()
        start = self.linger.next_start()
        while self.pending_records < self.stage.max_records and (wait := start - time.monotonic()) > 0:
            self.changed.clear()
            try:
                # Not `wait_for`, which makes a task each time: this runs many times a second.
                async with asyncio.timeout(wait):
                    await self.changed.wait()
            except TimeoutError:
                break
        self.linger.start()
        return self._dequeue()

    def _dequeue(self) -> list[Any]:
        events: list[Any] = []
        count = 0
        while self.pending and (not events or count + len(self.pending[0][0].value.records) <= self.stage.max_records):
            event, size_bytes = self.pending.popleft()
            events.append(event)
            count += len(event.value.records)
            self.pending_bytes -= size_bytes
        self.pending_records -= count
        return events

    def merge(self, events: list[Any]) -> RecordBatch | None:
        """Return the records of *events* above `processed_offset` as one batch, None if there are none.

        Raises `SkippedRecordsError` if a record is missing in between.
        """
        records: list[SourceRecord] = []
        expected = self.processed_offset + 1
        for event in events:
            batch: RecordBatch = event.value
            contiguous.check_input(self.tp, batch, expected, compacted=self.stage.compacted)
            records.extend(
                batch.records if batch.first_offset >= expected else (r for r in batch.records if r.offset >= expected)
            )
            expected = max(expected, batch.last_offset + 1)
        return RecordBatch(self.tp.topic, self.tp.partition, records, self.processed_offset + 1) if records else None

    async def process(self, batch: RecordBatch) -> None:
        """Process *batch*; whatever this raises exits the process."""
        self.batch, self.batch_started = batch, time.monotonic()
        try:
            await self.stage.process(batch)
        finally:
            self.batch = None

    def progress(self) -> Progress:
        """Return where this partition stands."""
        return Progress(self.processed_offset, self.ready.done(), self.processing, self.stage.waiting)

    def backlog(self) -> Backlog:
        """Return what waits in this partition."""
        batch = self.batch
        return Backlog(
            self.ready.done(),
            self.processed_offset,
            self.pending_records + (len(batch.records) if batch is not None else 0),
            self.pending_bytes,
            self._oldest_ms(),
            None if batch is None else self.batch_started,
        )

    def _oldest_ms(self) -> int | None:
        batches = [event.value for event, _ in self.pending] if self.batch is None else [self.batch]
        fetched = (record for batch in batches for record in batch.records if record.offset > self.processed_offset)
        return next((record.timestamp for record in fetched), None)
