"""The Prometheus registry of the gateway. `schemas.metrics` declares what it exports.

Every application has a registry of its own, so that two in one process do not share metrics. Metrics are updated per
request and per batch, never per item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.disk import FreeSpace
from gateway.ingest.rejections import Code
from schemas import metrics
from schemas.broker_clock import BrokerClock
from schemas.metrics import Metric

# A second series for each counter, with the time of its creation: the start of the process tells as much.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations


class GatewayMetrics:
    """Every metric of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = self._counter(metrics.GATEWAY_REQUESTS)
        seconds = metrics.GATEWAY_REQUEST_SECONDS
        self.request_seconds = Histogram(
            seconds.name, seconds.about, seconds.labels, buckets=seconds.buckets, registry=self.registry
        )
        self.accepted_items = self._counter(metrics.GATEWAY_ACCEPTED_ITEMS)
        self.rejected_items = self._counter(metrics.GATEWAY_REJECTED_ITEMS)
        self._project_items = self._counter(metrics.GATEWAY_PROJECT_ITEMS)
        self._of_projects: dict[str, tuple[Counter, Counter]] = {}
        self.warnings = self._counter(metrics.GATEWAY_WARNINGS)
        self.body_bytes = self._counter(metrics.GATEWAY_BODY_BYTES)
        self.overloaded_requests = self._counter(metrics.GATEWAY_OVERLOADED_REQUESTS)
        self.published_records = self._counter(metrics.GATEWAY_PUBLISHED_RECORDS)
        self.published_batches = self._counter(metrics.GATEWAY_PUBLISHED_BATCHES)
        self.failed_batches = self._counter(metrics.GATEWAY_FAILED_BATCHES)
        self.producers_replaced = self._counter(metrics.GATEWAY_PRODUCERS_REPLACED)
        self.unexpected_errors = self._counter(metrics.GATEWAY_UNEXPECTED_ERRORS)
        self.project_changes = self._counter(metrics.GATEWAY_PROJECT_CHANGES)
        self._in_flight_bytes = Gauge(
            metrics.GATEWAY_IN_FLIGHT_BYTES.name, metrics.GATEWAY_IN_FLIGHT_BYTES.about, registry=self.registry
        )
        self.clock = BrokerClock()
        """The brokers' clock, as acknowledgements show it."""
        self.registry.register(_ClockOffset(self.clock))
        self._disks = _Disks()
        self.registry.register(self._disks)
        self.requests_ok = self.requests.labels("200")
        self._show_zero()

    def count_items(self, project: str, accepted: int, rejected: int) -> None:
        """Count the items of a request of *project*. Both series appear with its first request, so that they grow."""
        counters = self._of_projects.get(project)
        if counters is None:
            items = self._project_items
            counters = self._of_projects[project] = items.labels(project, "accepted"), items.labels(project, "rejected")
        if accepted:
            counters[0].inc(accepted)
        if rejected:
            counters[1].inc(rejected)

    def watch_in_flight_bytes(self, read: Callable[[], float]) -> None:
        """Publish the value of *read* at each scrape."""
        self._in_flight_bytes.set_function(read)

    def watch_disks(self, space: FreeSpace) -> None:
        """Publish the free space of the brokers."""
        self._disks.space = space

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def _show_zero(self) -> None:
        """Export counters that alerts watch from the start: one that appears with its first event shows no increase."""
        for status in ("500", "503"):
            self.requests.labels(status)
        for code in Code:
            self.rejected_items.labels(code)
        for reason in ("memory", "project_share", "unauthenticated"):
            self.overloaded_requests.labels(reason)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.about, metric.labels, registry=self.registry)


class _ClockOffset(Collector):
    """The offset of the brokers' clock, once it was measured."""

    def __init__(self, clock: BrokerClock) -> None:
        self._clock = clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metric."""
        metric = metrics.GATEWAY_BROKER_CLOCK_OFFSET_SECONDS
        yield GaugeMetricFamily(metric.name, metric.about, value=self._clock.offset_seconds)


class _Disks(Collector):
    """The disk of each broker that tells about it."""

    def __init__(self) -> None:
        self.space = FreeSpace(0)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        least = self.space.least
        for metric, values in (
            (metrics.GATEWAY_KAFKA_DISK_FREE_BYTES, {each.broker: each.free_bytes for each in least}),
            (metrics.GATEWAY_KAFKA_DISK_SIZE_BYTES, {each.broker: each.total_bytes for each in least}),
        ):
            family = GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)
            for broker, value in values.items():
                family.add_metric([str(broker)], value)
            yield family
        metric = metrics.GATEWAY_KAFKA_DISK_LOW
        yield GaugeMetricFamily(metric.name, metric.about, value=self.space.is_low)
