"""The Prometheus metrics of the repeated audit: beside those of `schemas.metrics` in `docs/metrics.md`."""

from __future__ import annotations

from schemas.metrics import Kind, Metric


def _gauge(name: str, unit: str, about: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, unit, about, labels)


MISSING_ITEMS = _gauge(
    "sequence_audit_missing_items",
    "items",
    "Items of the window that are missing, by the topic that has them: items of `items.v1` that dedupe has processed "
    "and that are on none of its topics, and records of the others without a row",
    "topic",
)
UNEXPECTED_ROWS = _gauge(
    "sequence_audit_unexpected_rows",
    "rows",
    "Rows of the window that no record has, by the topic of their table; of `items.v1` the items that are unique and a "
    "duplicate",
    "topic",
)
REPEATED_ROWS = _gauge(
    "sequence_audit_repeated_rows",
    "rows",
    "Rows whose source offset another row has, by the topic of their table. A merge removes them",
    "topic",
)
ITEMS = _gauge("sequence_audit_items", "items", "Items that the last complete audit compared")
WINDOW_SECONDS = _gauge(
    "sequence_audit_window_seconds", "seconds", "Age of the oldest item that an audit compares, if it can read them all"
)
DURATION_SECONDS = _gauge("sequence_audit_duration_seconds", "seconds", "Time that the last complete audit took")
COMPLETED_TIMESTAMP_SECONDS = _gauge(
    "sequence_audit_completed_timestamp_seconds",
    "seconds",
    "Time since 1970 at which the last audit completed; until the first one, the time at which audits began",
)
FAILURES = Metric(
    "sequence_audit_failures_total",
    Kind.COUNTER,
    "audits",
    "Audits that did not complete, for example because a server was away",
)
AUDIT = tuple(metric for metric in list(globals().values()) if isinstance(metric, Metric))
"""Every metric of the repeated audit."""
