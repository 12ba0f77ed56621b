"""The Prometheus registry of the console. `schemas.console_metrics` declares what it exports."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from schemas import console_metrics as declared
from schemas.metrics import Metric


class ConsoleMetrics:
    """Every metric of one console."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = self._counter(declared.REQUESTS)
        self.refused = self._counter(declared.REFUSED)
        seconds = declared.QUERY_SECONDS
        self.query_seconds = Histogram(seconds.name, seconds.about, buckets=seconds.buckets, registry=self.registry)
        self.sent_items = self._counter(declared.SENT_ITEMS)
        self.skipped_items = self._counter(declared.SKIPPED_ITEMS)
        self.read_records = self._counter(declared.READ_RECORDS)
        self.skipped_records = self._counter(declared.SKIPPED_RECORDS)
        self.project_changes = self._counter(declared.PROJECT_CHANGES)
        self._streams = self._gauge(declared.LIVE_STREAMS)
        self.status_at = self._gauge(declared.STATUS_TIMESTAMP_SECONDS)
        for reason in ("busy", "too_many_streams"):
            self.refused.labels(reason)
        for status in ("200", "500", "503"):
            self.requests.labels(status)

    def watch_streams(self, read: Callable[[], float]) -> None:
        """Publish the value of *read*, the number of open streams, at each scrape."""
        self._streams.set_function(read)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.about, metric.labels, registry=self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.about, metric.labels, registry=self.registry)
