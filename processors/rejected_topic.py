"""The writer of `rejected.v1`, the pipeline's dead-letter topic, and the log line about what it writes."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

from processors.engine.metrics import WorkerMetrics
from processors.rejected import RejectedRecord, RejectionCode, Source, source_of
from schemas.items import Rejection
from schemas.log_throttle import Tally
from schemas.records import Record, rejection_record
from schemas.topics import Topics

log = logging.getLogger(__name__)


class Outputs(Protocol):
    """What `RejectedTopic` writes with; `ChangelogProducer` has this shape."""

    async def send(self, topic: str, records: Sequence[Record]) -> None:
        """Write *records*, each to the partition of its key; return when all are durable."""


class RejectionLog:
    """Logs the number of rejections by code: one line for all that arrive within a second, then fewer and fewer."""

    def __init__(self, stage: str, topic: str) -> None:
        self._stage = stage
        self._topic = topic
        self._tally = Tally()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, counts: Mapping[str, int]) -> None:
        """Add rejections that are on the topic."""
        wait = self._tally.add(counts, monotonic())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self.write)

    def write(self) -> None:
        """Log what was added since the last line."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (summary := self._tally.take(monotonic())) is not None:
            log.warning(
                "%s: rejected %d records in %.0f s: %s. They are on %s",
                *(self._stage, summary.total, summary.seconds, summary.detail, self._topic),
            )


class RejectedTopic:
    """Writes the rejections of one stage, at least once. Repeats have the same key, and readers drop them by it."""

    def __init__(self, outputs: Outputs, topics: Topics, stage: str, metrics: WorkerMetrics | None = None) -> None:
        self._outputs = outputs
        self.metrics = WorkerMetrics() if metrics is None else metrics
        """The metrics of the worker."""
        self._topic = topics.rejected
        self._stage = stage
        self._log = RejectionLog(stage, topics.rejected)
        for code in RejectionCode:
            # A counter that appears with its first rejection would show no increase.
            self.metrics.rejected_records.labels(stage, code)

    async def write_records(self, rejected: Iterable[RejectedRecord], topic: str, partition: int) -> None:
        """Write *rejected* records of *partition* of *topic* with their values; return when all are durable."""
        await self.write(
            (
                self.rejection(
                    each.code, each.message, key=each.record.key, source=source_of(each.record, topic, partition)
                ),
                each.record.value or b"",
            )
            for each in rejected
        )

    async def write(self, rejections: Iterable[tuple[Rejection, bytes]]) -> None:
        """Write each rejection with the content that it concerns; return when all are durable."""
        found = list(rejections)
        await self._outputs.send(self._topic, [rejection_record(reason, content) for reason, content in found])
        if found:
            counts = Counter(reason.code for reason, _ in found)
            self._log.add(counts)
            for code, count in counts.items():
                self.metrics.rejected_records.labels(self._stage, code).inc(count)

    def stop(self) -> None:
        """Log the rejections that were not logged yet."""
        self._log.write()

    def rejection(
        self, code: RejectionCode, message: str, *, key: bytes | None, source: Source, message_id: str | None = None
    ) -> Rejection:
        """Return a rejection, dated now, of what has *key* (`project/id`) and comes from *source*."""
        return Rejection(
            project_id=(key or b"").partition(b"/")[0].decode("utf-8", "replace"),
            stage=self._stage,
            code=code,
            message=message,
            rejected_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            message_id=message_id,
            source_topic=source.topic,
            source_partition=source.partition,
            source_offset=source.offset,
        )
