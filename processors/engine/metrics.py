"""Prometheus metrics of the workers: the name, labels, unit and meaning of each.

A worker has one registry for all its stages. Metrics are updated per batch and per failed attempt, never per record.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas.metrics import Metric

WORKER_REJECTED_RECORDS = Metric(
    "sequence_worker_rejected_records", "Records written to `rejected.v1`, by stage and code", ("stage", "code")
)
SINK_INSERT_RETRIES = Metric(
    "sequence_sink_insert_retries",
    "INSERTs of a block that failed and are repeated, by table and reason: `row`, `size`, `state`, `unavailable` or "
    "`unknown`",
    ("table", "reason"),
)
SINK_HALVED_BLOCKS = Metric(
    "sequence_sink_halved_blocks", "Blocks that were halved because their INSERT failed, by table", ("table",)
)
SINK_FAILING_VIEWS = Metric(
    "sequence_sink_failing_views",
    "1 for each materialized view that failed at its last check, by table and view",
    ("table", "view"),
)


class WorkerMetrics:
    """Every metric of one worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rejected_records = self._counter(WORKER_REJECTED_RECORDS)
        self.insert_retries = self._counter(SINK_INSERT_RETRIES)
        self.halved_blocks = self._counter(SINK_HALVED_BLOCKS)
        self.failing_views = Gauge(
            SINK_FAILING_VIEWS.name, SINK_FAILING_VIEWS.about, SINK_FAILING_VIEWS.labels, registry=self.registry
        )

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.about, metric.labels, registry=self.registry)
