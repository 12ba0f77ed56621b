"""The Prometheus metrics of the console: as those of `schemas.metrics`, with which `docs/metrics.md` lists them."""

from __future__ import annotations

from schemas.metrics import Kind, Metric


def _counter(name: str, unit: str, about: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, about, labels)


REQUESTS = _counter("sequence_console_requests_total", "requests", "HTTP requests answered, by status", "status")
REFUSED = _counter(
    "sequence_console_refused_requests_total",
    "requests",
    "Requests refused with 503 for a limit of the console, by reason: `busy` or `too_many_streams`",
    "reason",
)
QUERY_SECONDS = Metric(
    "sequence_console_query_seconds",
    Kind.HISTOGRAM,
    "seconds",
    "Time that the queries of a request took",
    (),
    (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
LIVE_STREAMS = Metric("sequence_console_live_streams", Kind.GAUGE, "streams", "Open streams of live items")
SENT_ITEMS = _counter("sequence_console_sent_items_total", "items", "Live items sent, of all streams")
SKIPPED_ITEMS = _counter(
    "sequence_console_skipped_items_total", "items", "Live items that were not sent because their stream was too slow"
)
READ_RECORDS = _counter("sequence_console_read_records_total", "records", "Records read from Kafka for live items")
SKIPPED_RECORDS = _counter(
    "sequence_console_skipped_records_total",
    "records",
    "Records that were not read for live items, because more arrive than the console reads",
)
PROJECT_CHANGES = _counter(
    "sequence_console_project_changes_total", "changes", "Changes of projects and tokens read from `projects.v1`"
)
STATUS_TIMESTAMP_SECONDS = Metric(
    "sequence_console_status_timestamp_seconds",
    Kind.GAUGE,
    "seconds",
    "Time of the newest status, in seconds since 1970",
)
CONSOLE = tuple(metric for metric in list(globals().values()) if isinstance(metric, Metric))
"""Every metric of the console."""
