"""Makes `docs/metrics.md` from the declarations: `python -m tests.support.metrics_page` writes it."""

from __future__ import annotations

from collections.abc import Iterable

from schemas import metrics
from schemas.audit_metrics import AUDIT
from schemas.console_metrics import CONSOLE
from schemas.metrics import Metric
from tests.support.documents import ROOT

PAGE = ROOT / "docs" / "metrics.md"
COMMAND = ".venv/bin/python -m tests.support.metrics_page"

_TEXT = """\
# Metrics

Gateways, workers and the console serve their metrics at `/metrics`, in Prometheus's text format. This page lists
them. It is made from `schemas/metrics.py`; [Health and metrics](operations.md#health-and-metrics) describes the
addresses and the probes, and [Alerts](operations.md#alerts) what to watch.

- [Scrape](#scrape)
- [Gateway](#gateway)
- [Workers](#workers)
- [Dedupe and persons](#dedupe-and-persons)
- [Sink](#sink)
- [Audit](#audit)
- [Console](#console)
- [Process](#process)
- [Lag](#lag)
- [Clocks](#clocks)
- [Restarts](#restarts)
- [Cost](#cost)

Counters start at 0 with the process. A histogram has the suffixes `_bucket`, `_sum` and `_count`. Metrics count what
a process did, so items that are processed again after a failure count again. To count items exactly, count rows.

## Scrape

A gateway serves its metrics on its own port, a worker on `SEQUENCE_WORKER_METRICS_PORT`. `sequence up` prints both.
This configuration scrapes the local stack with its default ports:

```yaml
scrape_configs:
  - job_name: sequence
    static_configs:
      - targets: ["127.0.0.1:8080", "127.0.0.1:9464", "127.0.0.1:9465", "127.0.0.1:9466"]
```

Metrics contain no content of events and no tokens. The labels of `sequence_gateway_project_items_total` and
`sequence_gateway_warnings_total` contain the IDs of projects.

## Gateway

{gateway}

## Workers

Every worker exports these metrics. The label `topic` is the input topic.

{worker}

## Dedupe and persons

These workers have local state. It caches their output log, the changelog.

{state}

## Sink

{sink}

## Audit

The console and `sequence audit --watch` export these metrics; see [Repeat the audit](operations.md#repeat-the-audit).
The label `topic` is the topic that has the records.

{audit}

## Console

`sequence console` exports these metrics at its own port.

{console}

## Process

Each process exports metrics of itself and of Python's garbage collector as well, among them:

| Metric | Type | Labels | Unit | Meaning |
| --- | --- | --- | --- | --- |
| `process_start_time_seconds` | gauge |  | seconds | Start of the process since 1970 |
| `process_cpu_seconds_total` | counter |  | seconds | CPU time of the process |
| `process_resident_memory_bytes` | gauge |  | bytes | Memory of the process |
| `process_open_fds` | gauge |  | files | Open files and connections |
| `process_max_fds` | gauge |  | files | Limit of them |

They are available on Linux.

## Lag

`sequence_worker_lag_records` is the end of the log minus the next offset to process. The worker asks Kafka for the
end at each scrape, at most once a second. `sequence_worker_lag_unknown_seconds` is the age of the last answer: it
grows while Kafka does not answer, and the lag is then that of the last answer. On `persons.v1`, a compacted topic,
the lag includes records that compaction has removed.

`sequence_worker_lag_seconds` is the present time minus the time at which the broker appended the oldest record that
is not processed. It grows while a stage waits, for example for ClickHouse, and is 0 as soon as the worker has
processed everything. If the worker has not fetched that record, it reads the record's time from Kafka. If Kafka does
not answer, it takes the time at which it first knew of the record.

Until the start of a partition is known, its lag counts from the offset that the consumer group has committed. That is
while the worker recovers its local state, or waits for the positions of ClickHouse's tables.

The lag of a partition is exported by the worker that it is assigned to. If no worker runs, nobody exports it: alert
on `up`.

## Clocks

`sequence_gateway_broker_clock_offset_seconds` and `sequence_worker_broker_clock_offset_seconds` are measured without
asking. Kafka stamps each record when it is appended. A process knows by its own clock two times between which that
was: for a record that it writes, before it sent the record and after the acknowledgement; for a record that it reads,
before it asked for the end of the log, which was at that offset, and after it received the record. The narrowest
recent pair counts, and its middle gives the offset. Half of its width, at most one second, is the error. The sink
only reads, so it measures while it is scraped and events arrive.

`sequence_worker_lag_seconds` is corrected by this offset. `sequence_sink_visible_seconds` is not: it compares the
clock of a gateway with that of the sink.

## Restarts

`changes(process_start_time_seconds[1h])` is the number of restarts of each process in the last hour.

## Cost

Workers count once for each batch. In batches of 5,000 this takes 2 ns of CPU time for each record of dedupe, and 39
ns for each row of the sink, of about 7,000 ns that the sink needs in all. A scrape takes 3 ms, at most twice a
second.
"""


def page() -> str:
    """Return the content of the page."""
    return _TEXT.format(
        gateway=_table(metrics.GATEWAY),
        worker=_table(metrics.WORKER),
        state=_table(metrics.STATE),
        sink=_table(metrics.SINK),
        audit=_table(AUDIT),
        console=_table(CONSOLE),
    )


def _table(declared: Iterable[Metric]) -> str:
    return "\n".join(
        ["| Metric | Type | Labels | Unit | Meaning |", "| --- | --- | --- | --- | --- |", *map(_row, declared)]
    )


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.about} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
