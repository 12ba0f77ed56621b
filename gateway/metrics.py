"""The gateway's numbers, on a registry of their own so that two applications of one process do not share them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from schemas import metrics
from schemas.metrics import Metric

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class GatewayMetrics:
    """Every number of one gateway. They are counted per request and per batch, never per item."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = self._counter(metrics.GATEWAY_REQUESTS)
        self.request_seconds = Histogram(
            metrics.GATEWAY_REQUEST_SECONDS.name,
            metrics.GATEWAY_REQUEST_SECONDS.about,
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self.accepted_items = self._counter(metrics.GATEWAY_ACCEPTED_ITEMS)
        self.refused_items = self._counter(metrics.GATEWAY_REFUSED_ITEMS)
        self.body_bytes = self._counter(metrics.GATEWAY_BODY_BYTES)
        self.published_records = self._counter(metrics.GATEWAY_PUBLISHED_RECORDS)
        self.published_batches = self._counter(metrics.GATEWAY_PUBLISHED_BATCHES)
        self.failed_batches = self._counter(metrics.GATEWAY_FAILED_BATCHES)
        self.producers_replaced = self._counter(metrics.GATEWAY_PRODUCERS_REPLACED)
        self.unexpected_errors = self._counter(metrics.GATEWAY_UNEXPECTED_ERRORS)
        self.directory_changes = self._counter(metrics.GATEWAY_DIRECTORY_CHANGES)
        self.answered_ok = self.requests.labels("200")

    def watch_in_flight_bytes(self, read: Callable[[], float]) -> None:
        """Publish what *read* returns whenever the numbers are asked for."""
        metric = metrics.GATEWAY_IN_FLIGHT_BYTES
        Gauge(metric.name, metric.about, registry=self.registry).set_function(read)

    def render(self) -> bytes:
        """Return all numbers in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.about, metric.labels, registry=self.registry)
