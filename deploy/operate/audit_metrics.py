"""The Prometheus registry of the repeated audit. `schemas.audit_metrics` declares what it exports."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.process_collector import ProcessCollector

from deploy.operate.audit_balance import Balance
from schemas import audit_metrics as declared
from schemas.metrics import Metric


class AuditMetrics:
    """What the last complete audit found. *registry* is that of the process; one of its own by default."""

    def __init__(self, now: float, registry: CollectorRegistry | None = None) -> None:
        if registry is None:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
        self.registry = registry
        self._missing = self._gauge(declared.MISSING_ITEMS)
        self._unexpected = self._gauge(declared.UNEXPECTED_ROWS)
        self._repeated = self._gauge(declared.REPEATED_ROWS)
        self._items = self._gauge(declared.ITEMS)
        self._window = self._gauge(declared.WINDOW_SECONDS)
        self._duration = self._gauge(declared.DURATION_SECONDS)
        self._completed = self._gauge(declared.COMPLETED_TIMESTAMP_SECONDS)
        failed = declared.FAILURES
        self.failures = Counter(failed.name, failed.about, failed.labels, registry=registry)
        # Until the first audit completes, its age is that of the process.
        self._completed.set(now)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.about, metric.labels, registry=self.registry)

    def complete(self, balance: Balance, *, at: float, seconds: float) -> None:
        """Publish the *balance* of an audit that completed *at*, in seconds since 1970, and took *seconds*."""
        for gauge, by_topic in (
            (self._missing, balance.missing),
            (self._unexpected, balance.unexpected),
            (self._repeated, balance.repeated),
        ):
            for topic, count in by_topic.items():
                gauge.labels(topic).set(count)
        self._items.set(balance.items)
        self._window.set(at - balance.since)
        self._completed.set(at)
        self._duration.set(seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self.registry)
