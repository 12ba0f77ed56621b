"""Prometheus metrics of the gateway: the name, labels, unit and meaning of each.

Every application has a registry of its own, so that two in one process do not share metrics. Metrics are updated per
request and per batch, never per item.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from schemas.metrics import Metric

GATEWAY_REQUESTS = Metric("sequence_gateway_requests", "HTTP requests answered, by status", ("status",))
GATEWAY_REQUEST_SECONDS = Metric(
    "sequence_gateway_request_seconds",
    "Time from a request's headers to Kafka's acknowledgement, of ingest requests answered with 200 or 400",
)
GATEWAY_ACCEPTED_ITEMS = Metric("sequence_gateway_accepted_items", "Items acknowledged by Kafka")
GATEWAY_REJECTED_ITEMS = Metric("sequence_gateway_rejected_items", "Items rejected, by code", ("code",))
GATEWAY_WARNINGS = Metric(
    "sequence_gateway_warnings", "Warnings about accepted items, by project and code", ("project", "code")
)
GATEWAY_BODY_BYTES = Metric("sequence_gateway_body_bytes", "Bytes of request bodies read, after decompression")
GATEWAY_IN_FLIGHT_BYTES = Metric(
    "sequence_gateway_in_flight_bytes", "Bytes of request bodies and unacknowledged records in memory"
)
GATEWAY_OVERLOADED_REQUESTS = Metric(
    "sequence_gateway_overloaded_requests",
    "Requests refused for memory with 503 `overloaded`, by reason: `memory`, `project_share` or `unauthenticated`",
    ("reason",),
)
GATEWAY_PUBLISHED_RECORDS = Metric(
    "sequence_gateway_published_records", "Records acknowledged by Kafka, by topic", ("topic",)
)
GATEWAY_PUBLISHED_BATCHES = Metric(
    "sequence_gateway_published_batches", "Batches acknowledged by Kafka, by topic", ("topic",)
)
GATEWAY_FAILED_BATCHES = Metric(
    "sequence_gateway_failed_batches", "Batches that Kafka did not acknowledge, by topic", ("topic",)
)
GATEWAY_PRODUCERS_REPLACED = Metric(
    "sequence_gateway_producers_replaced", "Kafka producers replaced after a permanent failure"
)
GATEWAY_UNEXPECTED_ERRORS = Metric(
    "sequence_gateway_unexpected_errors", "Requests that failed with an unexpected exception"
)
GATEWAY_PROJECT_CHANGES = Metric(
    "sequence_gateway_project_changes", "Changes of projects and tokens read from `projects.v1`"
)

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class GatewayMetrics:
    """Every metric of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = self._counter(GATEWAY_REQUESTS)
        self.request_seconds = Histogram(
            GATEWAY_REQUEST_SECONDS.name,
            GATEWAY_REQUEST_SECONDS.about,
            buckets=_REQUEST_SECONDS,
            registry=self.registry,
        )
        self.accepted_items = self._counter(GATEWAY_ACCEPTED_ITEMS)
        self.rejected_items = self._counter(GATEWAY_REJECTED_ITEMS)
        self.warnings = self._counter(GATEWAY_WARNINGS)
        self.body_bytes = self._counter(GATEWAY_BODY_BYTES)
        self.overloaded_requests = self._counter(GATEWAY_OVERLOADED_REQUESTS)
        self.published_records = self._counter(GATEWAY_PUBLISHED_RECORDS)
        self.published_batches = self._counter(GATEWAY_PUBLISHED_BATCHES)
        self.failed_batches = self._counter(GATEWAY_FAILED_BATCHES)
        self.producers_replaced = self._counter(GATEWAY_PRODUCERS_REPLACED)
        self.unexpected_errors = self._counter(GATEWAY_UNEXPECTED_ERRORS)
        self.project_changes = self._counter(GATEWAY_PROJECT_CHANGES)
        self.requests_ok = self.requests.labels("200")

    def watch_in_flight_bytes(self, read: Callable[[], float]) -> None:
        """Publish the value of *read* at each scrape."""
        metric = GATEWAY_IN_FLIGHT_BYTES
        Gauge(metric.name, metric.about, registry=self.registry).set_function(read)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.about, metric.labels, registry=self.registry)
