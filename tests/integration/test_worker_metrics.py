"""Metrics and health of workers as processes, on a real broker and the real engine."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from schemas.records import Record, event_headers, item_record, partition_for
from schemas.settings import KafkaSettings, environment
from schemas.topics import Topics
from tests.support import logs
from tests.support.records import track
from tests.support.services import Service, eventually, free_port
from tests.support.sink_pipeline import COUNT, Pipeline
from tests.support.status_pages import StatusPages
from tests.support.worker_process import Worker

LAG_RECORDS, LAG_SECONDS = "sequence_worker_lag_records", "sequence_worker_lag_seconds"
MORE = 40
CHANGELOG_RECORDS = 40_000


def sink(pipeline: Pipeline, directory: Path, port: int) -> Worker:
    """Return a sink worker whose metrics are at *port*, stalled after 5 s."""
    return pipeline.worker(directory, SEQUENCE_WORKER_METRICS_PORT=str(port), SEQUENCE_WORKER_STALL_SECONDS="10")


def test_lag_of_a_held_sink_grows_and_returns_to_zero(own_pipeline: Pipeline, server: Service, tmp_path: Path) -> None:
    pages, events = StatusPages(free_port()), own_pipeline.topics.events
    own_pipeline.send()
    with sink(own_pipeline, tmp_path, pages.port) as worker:
        worker.until(own_pipeline.done, "the first events are written")
        worker.until(pages.is_ready, "the worker is ready")
        assert pages.values(LAG_RECORDS, topic=events) == [0.0] * 4
        assert pages.values(LAG_SECONDS, topic=events) == [0.0] * 4
        check_written(pages)

        server.kill()
        own_pipeline.send(MORE)
        eventually(lambda: pages.total(LAG_RECORDS, topic=events) == MORE, "the lag is that of the new events")
        before, asked_at = max(pages.values(LAG_SECONDS, topic=events)), time.monotonic()
        eventually(lambda: pages.readiness()[0] == 503, "the worker is not ready")
        status, content = pages.readiness()
        assert (status, content["status"]) == (503, "stalled")
        assert f"{events}[" in content["message"]
        grown = max(pages.values(LAG_SECONDS, topic=events)) - before
        assert abs(grown - (time.monotonic() - asked_at)) < 1.5
        assert pages.values("sequence_sink_waiting", topic=events) == [1.0]

        server.start()
        own_pipeline.stop_merges()
        worker.until(own_pipeline.done, "all events are written")
        eventually(lambda: pages.total(LAG_RECORDS) == 0, "no lag remains")
        eventually(pages.is_ready, "the worker is ready again")
        assert pages.total(LAG_SECONDS) == 0
        assert worker.exits == 0


def check_written(pages: StatusPages) -> None:
    """Check the metrics of the first events."""
    rows = {"events": COUNT * 3 / 4, "identifies": COUNT / 4}
    for table, count in rows.items():
        assert pages.total("sequence_sink_insert_rows_sum", table=table) == count
        assert pages.values("sequence_sink_visible_seconds_count", table=table) == [count]
    assert pages.total("sequence_worker_batch_records_sum") == COUNT
    assert pages.values("sequence_worker_ready") == [1.0]


def test_sink_that_starts_without_clickhouse_has_the_lag_of_its_group(
    own_pipeline: Pipeline, server: Service, tmp_path: Path
) -> None:
    pages, events = StatusPages(free_port()), own_pipeline.topics.events
    own_pipeline.send()
    with sink(own_pipeline, tmp_path / "first", pages.port) as worker:
        worker.until(own_pipeline.done, "the first events are written")
    server.kill()
    own_pipeline.send(MORE)
    began = time.time()
    with sink(own_pipeline, tmp_path / "second", pages.port) as worker:
        worker.until(lambda: pages.readiness()[1].get("status") == "assigning", "the sink waits for positions")
        eventually(lambda: pages.total(LAG_RECORDS, topic=events) == MORE, "the lag is that of the new events")
        seconds = max(pages.values(LAG_SECONDS, topic=events))
        assert abs(seconds - (time.time() - began)) < 2.0
        server.start()
        own_pipeline.stop_merges()
        worker.until(own_pipeline.done, "all events are written")
        eventually(pages.is_ready, "the worker is ready")
        assert pages.total(LAG_RECORDS) == 0


def write_processed_items(settings: KafkaSettings, topics: Topics) -> None:
    """Write items, and their events as dedupe does."""
    items, events = [], []
    offsets: Counter[int] = Counter()
    for number in range(CHANGELOG_RECORDS):
        name = f"m{number}".encode()
        key = b"p/" + name
        partition = partition_for(key, 4)
        items.append(Record(key, b"{}"))
        events.append(Record(key, b"{}", event_headers(name, offsets[partition])))
        offsets[partition] += 1
    logs.write(settings, topics.items, items)
    logs.write(settings, topics.events, events)


def test_worker_is_not_ready_while_it_recovers(kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path) -> None:
    pages = StatusPages(free_port())
    write_processed_items(kafka_settings, topics)
    seen: set[str] = set()
    remaining: list[int] = []

    def note() -> bool:
        status, content = pages.readiness()
        seen.add(content.get("status", "no answer"))
        if content.get("status") == "recovering":
            remaining.append(int(re.findall(r"\d+", content["message"])[-1]))
        return status == 200

    port = {"SEQUENCE_WORKER_METRICS_PORT": str(pages.port)}
    with Worker("dedupe", kafka_settings, tmp_path, environ=port) as worker:
        eventually(note, "the worker is ready", every_seconds=0.01)
        assert worker.exits == 0
        assert {"recovering", "ready"} <= seen
        assert 0 < max(remaining) <= CHANGELOG_RECORDS
        assert pages.total("sequence_worker_recovery_records") == 0
        assert min(pages.values("sequence_worker_store_bytes")) > CHANGELOG_RECORDS / 4 * 20


def test_dedupe_counts_outcomes_and_measures_the_brokers_clock(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    pages = StatusPages(free_port())
    items = [item_record(track(f"m{number}")) for number in range(100)]
    logs.write(kafka_settings, topics.items, [*items, *items[:10], Record(b"p/invalid", b"{not json")])
    port = {"SEQUENCE_WORKER_METRICS_PORT": str(pages.port)}
    with Worker("dedupe", kafka_settings, tmp_path, environ=port) as worker:
        worker.until(lambda: pages.total("sequence_worker_processed_offset") == 111 - 4, "all items are processed")
        counts = {
            outcome: pages.values("sequence_worker_items_total", stage="dedupe", outcome=outcome)
            for outcome in ("unique", "duplicate", "rejected")
        }
        assert counts == {"unique": [100.0], "duplicate": [10.0], "rejected": [1.0]}
        [offset] = pages.values("sequence_worker_broker_clock_offset_seconds")
        assert abs(offset) < 1.0
        assert pages.total(LAG_RECORDS) == 0
        free, size = (pages.total(f"sequence_worker_disk_{name}_bytes") for name in ("free", "size"))
        assert 0 < free < size


def test_port_in_use_is_reported_before_the_worker_connects(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli", "worker", "dedupe"],
            env={
                **environment(kafka_settings),
                "SEQUENCE_WORKER_DIR": str(tmp_path),
                "SEQUENCE_WORKER_METRICS_PORT": str(port),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    message = (
        f"Error: Cannot listen on 127.0.0.1:{port} (SEQUENCE_WORKER_METRICS_HOST, SEQUENCE_WORKER_METRICS_PORT): "
        "Address already in use. Stop the process that uses the port, or set another address or port."
    )
    assert (done.returncode, done.stderr.splitlines()) == (1, [message])
