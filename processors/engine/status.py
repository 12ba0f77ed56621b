"""What a worker tells about itself: the values of its gauges at a scrape, and whether it is ready."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from faust.types import TP

from processors.engine.app_state import AppState
from processors.engine.changelog_table import ChangelogTable
from processors.engine.health import Health
from processors.engine.lag import LagReader
from processors.engine.metrics import Readings, WorkerMetrics
from processors.engine.stage import RecordBatch
from schemas import metrics as declared
from schemas.metrics import Metric

_RENDERED_SECONDS = 0.5
"""How long a rendering is used again."""
Values = dict[tuple[str, ...], float]
"""By the values of its labels, the value of a gauge."""


class WorkerStatus:
    """The metrics of one worker, in Prometheus's text format, and the observer of its batches."""

    def __init__(
        self,
        state: AppState,
        tables: Sequence[ChangelogTable],
        metrics: WorkerMetrics,
        lag: LagReader,
        health: Health,
    ) -> None:
        self._state = state
        self._tables = tables
        self._metrics = metrics
        self._lag = lag
        self._health = health
        self._rendered, self._rendered_at = b"", float("-inf")
        metrics.read_with(self._read)

    async def metrics(self) -> bytes:
        """Return all metrics; the lag is measured for it. Many scrapes at once cost as much as one."""
        await self._lag.measure()
        if monotonic() - self._rendered_at >= _RENDERED_SECONDS:
            self._rendered, self._rendered_at = self._metrics.render(), monotonic()
        return self._rendered

    def fetched(self, tp: TP, batch: RecordBatch) -> None:
        """Note that *batch* was fetched."""
        self._lag.fetched(tp, batch)

    def processed(self, tp: TP, batch: RecordBatch, seconds: float) -> None:
        """Note that the outputs of *batch* are durable after *seconds*."""
        self._metrics.batch_records.labels(tp.topic).observe(len(batch.records))
        self._metrics.batch_seconds.labels(tp.topic).observe(seconds)

    def _read(self) -> Readings:
        ready = self._health.unready() is None
        single = {
            declared.WORKER_READY: float(ready),
            declared.WORKER_LAG_UNKNOWN_SECONDS: self._lag.unknown_seconds,
            declared.WORKER_BROKER_CLOCK_OFFSET_SECONDS: self._lag.clock.offset_seconds,
        }
        sizes = {tp: size for table in self._tables for tp, size in table.size_bytes().items()}
        waiting: Values = {(topic,): float(stage.waiting) for topic, stage in self._state.stages.items()}
        return {
            **{metric: {(): value} for metric, value in single.items() if value is not None},
            declared.WORKER_RECOVERY_RECORDS: _by_partition(self._state.recovery()),
            declared.WORKER_STORE_BYTES: _by_partition(sizes),
            declared.SINK_WAITING: waiting,
            **self._disk(),
            **self._lags(),
            **self._backlogs(),
        }

    def _disk(self) -> dict[Metric, Values]:
        with suppress(OSError):
            usage = shutil.disk_usage(self._state.directory)
            return {
                declared.WORKER_DISK_FREE_BYTES: {(): float(usage.free)},
                declared.WORKER_DISK_SIZE_BYTES: {(): float(usage.total)},
            }
        return {}

    def _lags(self) -> dict[Metric, Values]:
        lags = self._lag.lags()
        return {
            declared.WORKER_LAG_RECORDS: _by_partition({tp: lag.records for tp, lag in lags.items()}),
            declared.WORKER_LAG_SECONDS: _by_partition({tp: lag.seconds for tp, lag in lags.items()}),
        }

    def _backlogs(self) -> dict[Metric, Values]:
        now = monotonic()
        backlogs = self._state.backlogs()
        ages = {tp: now - (now if each.batch_started is None else each.batch_started) for tp, each in backlogs.items()}
        processed = {tp: each.processed_offset for tp, each in backlogs.items() if each.ready}
        return {
            declared.WORKER_PROCESSED_OFFSET: _by_partition(processed),
            declared.WORKER_PENDING_RECORDS: _by_partition({tp: each.records for tp, each in backlogs.items()}),
            declared.WORKER_PENDING_BYTES: _by_partition({tp: each.size_bytes for tp, each in backlogs.items()}),
            declared.WORKER_BATCH_AGE_SECONDS: _by_partition(ages),
        }


def _by_partition(values: dict[TP, int] | dict[TP, float]) -> Values:
    return {(tp.topic, str(tp.partition)): float(value) for tp, value in values.items()}
