"""The Prometheus registry of a worker. `schemas.metrics` declares what it exports.

Metrics are updated per batch and per failed attempt, never per record. What only has a present value, such as the lag,
is read at each scrape.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from schemas import catalog_metrics, metrics
from schemas.metrics import Kind, Metric

# A second series for each counter, with the time of its creation: the start of the process tells as much.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations

Readings = Mapping[Metric, Mapping[tuple[str, ...], float]]
"""By gauge and by the values of its labels, the present value."""

_READ_AT_SCRAPE = tuple(
    metric for metric in (*metrics.WORKER, *metrics.STATE, metrics.SINK_WAITING) if metric.kind is Kind.GAUGE
)


class WorkerMetrics:
    """Every metric of one worker. It has those of the other workers as well, and does not export them."""

    def __init__(self, worker: str = "sink") -> None:
        self._exported = metrics.PROCESSES[worker]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.items = self._counter(metrics.WORKER_ITEMS)
        self.rejected_records = self._counter(metrics.WORKER_REJECTED_RECORDS)
        self.batch_records = self._histogram(metrics.WORKER_BATCH_RECORDS)
        self.batch_seconds = self._histogram(metrics.WORKER_BATCH_SECONDS)
        self.insert_seconds = self._histogram(metrics.SINK_INSERT_SECONDS)
        self.insert_rows = self._histogram(metrics.SINK_INSERT_ROWS)
        self.insert_retries = self._counter(metrics.SINK_INSERT_RETRIES)
        self.halved_blocks = self._counter(metrics.SINK_HALVED_BLOCKS)
        self.failing_views = self._gauge(metrics.SINK_FAILING_VIEWS)
        self.catalog_lag_offsets = self._gauge(catalog_metrics.LAG_OFFSETS)
        self.catalog_lag_seconds = self._gauge(catalog_metrics.LAG_SECONDS)
        self.catalog_pass_seconds = self._histogram(catalog_metrics.PASS_SECONDS)
        self.catalog_read_rows = self._counter(catalog_metrics.READ_ROWS)
        self.catalog_counted_offsets = self._counter(catalog_metrics.COUNTED_OFFSETS)
        self.catalog_failed_passes = self._counter(catalog_metrics.FAILED_PASSES)
        self.catalog_skipped_offsets = self._counter(catalog_metrics.SKIPPED_OFFSETS)
        self.typed_views_made = self._counter(catalog_metrics.VIEWS_MADE)
        self.typed_views_failed = self._counter(catalog_metrics.VIEWS_FAILED)
        self.retention_removed_rows = self._counter(catalog_metrics.RETENTION_REMOVED_ROWS)
        self.retention_failed = self._counter(catalog_metrics.RETENTION_FAILED)
        self.erasures_failed = self._counter(catalog_metrics.ERASURES_FAILED)
        self.visible_seconds = CountedHistogram(metrics.SINK_VISIBLE_SECONDS)
        if metrics.SINK_VISIBLE_SECONDS in self._exported:
            self.registry.register(self.visible_seconds)
        self._gauges = _Gauges([metric for metric in _READ_AT_SCRAPE if metric in self._exported])
        self.registry.register(self._gauges)

    def count_items(self, stage: str, **outcomes: int) -> None:
        """Count items that *stage* has processed, by their outcome."""
        for outcome, count in outcomes.items():
            self.items.labels(stage, outcome).inc(count)

    def read_with(self, read: Callable[[], Readings]) -> None:
        """Export what *read* returns at each scrape."""
        self._gauges.read = read

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def _registry_of(self, metric: Metric) -> CollectorRegistry | None:
        return self.registry if metric in self._exported else None

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.about, metric.labels, registry=self._registry_of(metric))

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.about, metric.labels, registry=self._registry_of(metric))

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(
            metric.name, metric.about, metric.labels, buckets=metric.buckets, registry=self._registry_of(metric)
        )


class CountedHistogram(Collector):
    """A histogram with one label, whose values are counted elsewhere: many at a time."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, label: str, counts: Sequence[int], total: float) -> None:
        """Add values whose sum is *total*; *counts* has the number of values at or below each bound, then of all."""
        with self._lock:
            before = self._counts.get(label) or [0] * len(counts)
            self._counts[label] = [known + more for known, more in zip(before, counts, strict=True)]
            self._sums[label] = self._sums.get(label, 0.0) + total

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Yield the metric without values."""
        yield HistogramMetricFamily(self.metric.name, self.metric.about, labels=self.metric.labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the metric."""
        family = HistogramMetricFamily(self.metric.name, self.metric.about, labels=self.metric.labels)
        bounds = [*map(str, self.metric.buckets), "+Inf"]
        with self._lock:
            values = [(label, counts, self._sums[label]) for label, counts in self._counts.items()]
        for label, counts, total in values:
            buckets = [(bound, float(count)) for bound, count in zip(bounds, counts, strict=True)]
            family.add_metric([label], buckets, total)
        yield family


class _Gauges(Collector):
    """Gauges that are read at each scrape."""

    def __init__(self, declared: Sequence[Metric]) -> None:
        self._declared = declared
        self.read: Callable[[], Readings] = dict

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield each gauge without values."""
        for metric in self._declared:
            yield GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each gauge with its values."""
        readings = self.read()
        for metric in self._declared:
            family = GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)
            for labels, value in readings.get(metric, {}).items():
                family.add_metric(labels, value)
            yield family
