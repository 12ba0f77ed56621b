"""Every Prometheus metric: name, type, unit, labels and meaning. `docs/metrics.md` is made from this module.

The gateway and the workers build their registries from these declarations, and a dashboard or an alert that names a
metric is checked against them. A name ends with its unit, and that of a counter with `_total`.
"""

from __future__ import annotations

from schemas.catalog_metrics import CATALOG
from schemas.metric_kinds import Kind as Kind  # noqa: PLC0414  # those who declare others import it from here
from schemas.metric_kinds import Metric as Metric  # noqa: PLC0414

_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BATCH_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCH_RECORDS = (1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)
_INSERT_ROWS = (1.0, 10.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0, 20000.0, 30000.0)
_VISIBLE_SECONDS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


def _counter(name: str, unit: str, about: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, about, labels)


def _gauge(name: str, unit: str, about: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, unit, about, labels)


def _histogram(name: str, unit: str, buckets: tuple[float, ...], about: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, unit, about, labels, buckets)


# Gateways.

GATEWAY_REQUESTS = _counter(
    "sequence_gateway_requests_total", "requests", "HTTP requests answered, by status", "status"
)
GATEWAY_REQUEST_SECONDS = _histogram(
    "sequence_gateway_request_seconds",
    "seconds",
    _REQUEST_SECONDS,
    "Time from a request's headers to Kafka's acknowledgement, of ingest requests answered with 200 or 400",
)
GATEWAY_ACCEPTED_ITEMS = _counter("sequence_gateway_accepted_items_total", "items", "Items acknowledged by Kafka")
GATEWAY_REJECTED_ITEMS = _counter("sequence_gateway_rejected_items_total", "items", "Items rejected, by code", "code")
GATEWAY_PROJECT_ITEMS = _counter(
    "sequence_gateway_project_items_total", "items", "Items `accepted` and `rejected`, by project", "project", "verdict"
)
GATEWAY_WARNINGS = _counter(
    "sequence_gateway_warnings_total",
    "warnings",
    "Warnings about accepted items, by project and code",
    "project",
    "code",
)
GATEWAY_BODY_BYTES = _counter(
    "sequence_gateway_body_bytes_total", "bytes", "Bytes of request bodies read, after decompression"
)
GATEWAY_IN_FLIGHT_BYTES = _gauge(
    "sequence_gateway_in_flight_bytes", "bytes", "Bytes of request bodies and unacknowledged records in memory"
)
GATEWAY_OVERLOADED_REQUESTS = _counter(
    "sequence_gateway_overloaded_requests_total",
    "requests",
    "Requests refused for memory with 503 `overloaded`, by reason: `memory`, `project_share` or `unauthenticated`",
    "reason",
)
GATEWAY_KAFKA_DISK_FREE_BYTES = _gauge(
    "sequence_gateway_kafka_disk_free_bytes",
    "bytes",
    "Free space of the broker's log directory that has least, if the broker tells it",
    "broker",
)
GATEWAY_KAFKA_DISK_SIZE_BYTES = _gauge(
    "sequence_gateway_kafka_disk_size_bytes", "bytes", "Size of the file system of this directory", "broker"
)
GATEWAY_KAFKA_DISK_LOW = _gauge(
    "sequence_gateway_kafka_disk_low",
    "0 or 1",
    "Whether requests are refused with 503 `kafka_disk_low`, because a broker has too little free disk space",
)
GATEWAY_PUBLISHED_RECORDS = _counter(
    "sequence_gateway_published_records_total", "records", "Records acknowledged by Kafka, by topic", "topic"
)
GATEWAY_PUBLISHED_BATCHES = _counter(
    "sequence_gateway_published_batches_total", "batches", "Batches acknowledged by Kafka, by topic", "topic"
)
GATEWAY_FAILED_BATCHES = _counter(
    "sequence_gateway_failed_batches_total", "batches", "Batches that Kafka did not acknowledge, by topic", "topic"
)
GATEWAY_PRODUCERS_REPLACED = _counter(
    "sequence_gateway_producers_replaced_total", "producers", "Kafka producers replaced after a permanent failure"
)
GATEWAY_UNEXPECTED_ERRORS = _counter(
    "sequence_gateway_unexpected_errors_total", "requests", "Requests that failed with an unexpected exception"
)
GATEWAY_PROJECT_CHANGES = _counter(
    "sequence_gateway_project_changes_total", "changes", "Changes of projects and tokens read from `projects.v1`"
)
GATEWAY_BROKER_CLOCK_OFFSET_SECONDS = _gauge(
    "sequence_gateway_broker_clock_offset_seconds",
    "seconds",
    "Clock of the Kafka brokers minus the clock of this gateway; absent until it was measured",
)

# Workers.

WORKER_READY = _gauge("sequence_worker_ready", "0 or 1", "1 if `/health/ready` answers 200, otherwise 0")
WORKER_LAG_RECORDS = _gauge(
    "sequence_worker_lag_records",
    "records",
    "Records of an input partition that are not processed yet",
    "topic",
    "partition",
)
WORKER_LAG_SECONDS = _gauge(
    "sequence_worker_lag_seconds",
    "seconds",
    "Age of the oldest record of an input partition that is not processed yet; 0 if there is none",
    "topic",
    "partition",
)
WORKER_LAG_UNKNOWN_SECONDS = _gauge(
    "sequence_worker_lag_unknown_seconds",
    "seconds",
    "Time since Kafka last told where the input partitions end; the lag in records is as old. Absent while the "
    "worker has no partitions",
)
WORKER_PROCESSED_OFFSET = _gauge(
    "sequence_worker_processed_offset",
    "offset",
    "Highest offset of an input partition whose outputs are durable; -1 if there is none",
    "topic",
    "partition",
)
WORKER_PENDING_RECORDS = _gauge(
    "sequence_worker_pending_records",
    "records",
    "Records of an input partition that are fetched and not processed yet",
    "topic",
    "partition",
)
WORKER_PENDING_BYTES = _gauge(
    "sequence_worker_pending_bytes",
    "bytes",
    "Bytes of the values of these records, without the batch in process",
    "topic",
    "partition",
)
WORKER_BATCH_AGE_SECONDS = _gauge(
    "sequence_worker_batch_age_seconds",
    "seconds",
    "Time that the batch in process has taken so far; 0 if there is none",
    "topic",
    "partition",
)
WORKER_BATCH_RECORDS = _histogram(
    "sequence_worker_batch_records",
    "records",
    _BATCH_RECORDS,
    "Records of each processed batch, by input topic",
    "topic",
)
WORKER_BATCH_SECONDS = _histogram(
    "sequence_worker_batch_seconds",
    "seconds",
    _BATCH_SECONDS,
    "Time that each batch took until its outputs were durable, by input topic",
    "topic",
)
WORKER_REJECTED_RECORDS = _counter(
    "sequence_worker_rejected_records_total",
    "records",
    "Records written to `rejected.v1`, by stage and code",
    "stage",
    "code",
)
WORKER_BROKER_CLOCK_OFFSET_SECONDS = _gauge(
    "sequence_worker_broker_clock_offset_seconds",
    "seconds",
    "Clock of the Kafka brokers minus the clock of this worker; absent until it was measured",
)

# Dedupe and persons, the workers with local state.

WORKER_ITEMS = _counter(
    "sequence_worker_items_total",
    "items",
    "Items processed, by stage and outcome: `unique`, `duplicate` and `rejected` of `dedupe`; `folded`, "
    "`unchanged`, `erased` and `rejected` of `persons`. Items that are processed again after a failure count again",
    "stage",
    "outcome",
)
WORKER_RECOVERY_RECORDS = _gauge(
    "sequence_worker_recovery_records",
    "records",
    "Records of a changelog partition that the worker has still to read before its local state is recovered",
    "topic",
    "partition",
)
WORKER_STORE_BYTES = _gauge(
    "sequence_worker_store_bytes",
    "bytes",
    "Size of the local state of a partition, in files and in memory",
    "topic",
    "partition",
)
WORKER_DISK_FREE_BYTES = _gauge(
    "sequence_worker_disk_free_bytes", "bytes", "Free space of the file system of `SEQUENCE_WORKER_DIR`"
)
WORKER_DISK_SIZE_BYTES = _gauge(
    "sequence_worker_disk_size_bytes", "bytes", "Size of the file system of `SEQUENCE_WORKER_DIR`"
)

# The sink.

SINK_INSERT_SECONDS = _histogram(
    "sequence_sink_insert_seconds",
    "seconds",
    _BATCH_SECONDS,
    "Time that each acknowledged INSERT took, by table",
    "table",
)
SINK_INSERT_ROWS = _histogram(
    "sequence_sink_insert_rows",
    "rows",
    _INSERT_ROWS,
    "Rows of each acknowledged INSERT, by table; the sum is the number of rows written",
    "table",
)
SINK_VISIBLE_SECONDS = _histogram(
    "sequence_sink_visible_seconds",
    "seconds",
    _VISIBLE_SECONDS,
    "Time from `receivedAt` of each row, set by the gateway, until its INSERT was acknowledged, by table. Its "
    "end is taken from the clock of the sink. `person_states` has no such time",
    "table",
)
SINK_INSERT_RETRIES = _counter(
    "sequence_sink_insert_retries_total",
    "INSERTs",
    "INSERTs of a block that failed and are repeated, by table and reason: `row`, `size`, `state`, "
    "`unavailable` or `unknown`",
    "table",
    "reason",
)
SINK_HALVED_BLOCKS = _counter(
    "sequence_sink_halved_blocks_total",
    "blocks",
    "Blocks that were halved because their INSERT failed, by table",
    "table",
)
SINK_WAITING = _gauge(
    "sequence_sink_waiting", "0 or 1", "1 while a stage waits for ClickHouse, otherwise 0, by input topic", "topic"
)
SINK_FAILING_VIEWS = _gauge(
    "sequence_sink_failing_views",
    "0 or 1",
    "1 for each materialized view that failed at its last check, by table and view",
    "table",
    "view",
)


def _declared(*prefixes: str) -> tuple[Metric, ...]:
    return tuple(
        metric for name, metric in globals().items() if isinstance(metric, Metric) and name.startswith(prefixes)
    )


GATEWAY = _declared("GATEWAY_")
STATE = (
    WORKER_ITEMS,
    WORKER_RECOVERY_RECORDS,
    WORKER_STORE_BYTES,
    WORKER_DISK_FREE_BYTES,
    WORKER_DISK_SIZE_BYTES,
)
"""Of dedupe and persons, the workers with local state."""
SINK = (*_declared("SINK_"), *CATALOG)
WORKER = tuple(metric for metric in _declared("WORKER_") if metric not in STATE)
"""Of every worker."""
PROCESSES = {
    "gateway": GATEWAY,
    "dedupe": (*WORKER, *STATE),
    "persons": (*WORKER, *STATE),
    "sink": (*WORKER, *SINK),
}
"""By process, the metrics that it exports."""
