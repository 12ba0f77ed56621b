"""The Prometheus metrics of the catalogue and of typed views, which the sink exports: part of `schemas.metrics`."""

from __future__ import annotations

from schemas.metric_kinds import Kind, Metric


def _counter(name: str, unit: str, about: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, about, ("kind",))


def _gauge(name: str, unit: str, about: str) -> Metric:
    return Metric(name, Kind.GAUGE, unit, about, ("kind",))


LAG_OFFSETS = _gauge(
    "sequence_sink_catalog_lag_offsets",
    "source offsets",
    "Source offsets between the catalogue and the newest row, by kind: `event` or `trait`. Exported by the sink that "
    "counts, which has partition 0 of `events.v1`",
)
LAG_SECONDS = _gauge(
    "sequence_sink_catalog_lag_seconds",
    "seconds",
    "Time since the catalogue last had every row, by kind; 0 if it has",
)
PASS_SECONDS = Metric(
    "sequence_sink_catalog_pass_seconds",
    Kind.HISTOGRAM,
    "seconds",
    "Time of each pass that counted rows into the catalogue, by kind",
    ("kind",),
    (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
READ_ROWS = _counter(
    "sequence_sink_catalog_read_rows_total",
    "rows",
    "Rows that ClickHouse read for these passes, by kind. A pass reads rows again that a merge has put beside new ones",
)
COUNTED_OFFSETS = _counter(
    "sequence_sink_catalog_counted_offsets_total",
    "source offsets",
    "Source offsets whose rows these passes have counted, by kind",
)
FAILED_PASSES = _counter(
    "sequence_sink_catalog_failed_passes_total", "passes", "Passes that failed and are repeated, by kind"
)
SKIPPED_OFFSETS = _counter(
    "sequence_sink_catalog_skipped_offsets_total",
    "source offsets",
    "Source offsets whose rows ClickHouse could not count, by kind",
)
VIEWS_MADE = Metric(
    "sequence_sink_typed_views_made_total", Kind.COUNTER, "views", "Typed views that were created or replaced"
)
VIEWS_FAILED = Metric(
    "sequence_sink_typed_views_failed_total",
    Kind.COUNTER,
    "attempts",
    "Attempts to make typed views that failed and are repeated",
)
ERASURES_FAILED = Metric(
    "sequence_sink_erasures_failed_total",
    Kind.COUNTER,
    "attempts",
    "Attempts to advance erasures that failed and are repeated",
)
RETENTION_REMOVED_ROWS = Metric(
    "sequence_sink_retention_removed_rows_total",
    Kind.COUNTER,
    "rows",
    "Rows that were removed because they had expired, by table",
    ("table",),
)
RETENTION_FAILED = Metric(
    "sequence_sink_retention_failed_total",
    Kind.COUNTER,
    "attempts",
    "Attempts to remove expired rows that failed and are repeated",
)

CATALOG = tuple(metric for metric in list(globals().values()) if isinstance(metric, Metric))
