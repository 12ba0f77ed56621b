"""The sink worker as a process, on a real broker and the real engine: every event is one row despite failures.

Rows are counted without FINAL and with merges stopped.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import environment
from tests.fakes.kafka_proxy import KafkaProxy
from tests.support.insert_proxy import InsertProxy
from tests.support.marks import in_make_faults
from tests.support.services import Service, eventually
from tests.support.sink_pipeline import COUNT, Pipeline
from tests.support.worker_process import Worker


@pytest.mark.parametrize("point", ["inserted:1", "processed:2", *in_make_faults("inserted:3")])
def test_killed_worker_loses_and_doubles_nothing(pipeline: Pipeline, tmp_path: Path, point: str) -> None:
    pipeline.send()
    with pipeline.worker(tmp_path, SEQUENCE_TEST_KILL_AT=point) as worker:
        eventually(lambda: not worker.running, "the worker is killed")
        # More events make the next INSERTs differ: ClickHouse would drop equal ones by their tokens.
        pipeline.send()
        worker.until(pipeline.done, "all events are written")
        assert worker.exits == 1, worker.log
    pipeline.check()


def test_events_wait_while_clickhouse_is_down(own_pipeline: Pipeline, server: Service, tmp_path: Path) -> None:
    own_pipeline.send()
    with own_pipeline.worker(tmp_path) as worker:
        worker.until(own_pipeline.done, "the first events are written")
        server.kill()
        down_until = time.monotonic() + 20
        while time.monotonic() < down_until:
            own_pipeline.send(40)
            assert not own_pipeline.done()
            time.sleep(0.5)
        server.start()
        own_pipeline.stop_merges()
        worker.until(own_pipeline.done, "all events are written", within_seconds=15)
        assert worker.exits == 0
    own_pipeline.check()
    assert "waiting for ClickHouse" in worker.log


def test_lost_insert_responses_lose_and_double_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    with InsertProxy(pipeline.clickhouse.url) as proxy:
        proxy.responses_to_lose = 5
        pipeline.send()
        with pipeline.worker(tmp_path, url=proxy.address) as worker:
            worker.until(pipeline.done, "all events are written")
            pipeline.send(200)
            worker.until(pipeline.done, "later events are written")
            assert (worker.exits, proxy.responses_lost) == (0, 5)
    pipeline.check()


def test_clickhouse_killed_during_inserts_loses_and_doubles_nothing(
    own_pipeline: Pipeline, server: Service, tmp_path: Path
) -> None:
    with InsertProxy(server.address) as proxy, own_pipeline.worker(tmp_path, url=proxy.address) as worker:
        for _ in range(4):
            inserts = proxy.inserts
            own_pipeline.send(1_000)
            worker.until(lambda: proxy.inserts > inserts, "an INSERT is sent")  # noqa: B023
            server.kill()
            server.start()
            own_pipeline.stop_merges()
        worker.until(own_pipeline.done, "all events are written")
        assert worker.exits == 0
    own_pipeline.check()


def test_event_repeated_by_a_resumed_worker_is_one_row(pipeline: Pipeline, tmp_path: Path) -> None:
    records = pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written")
        pipeline.send_events(records[100:])
        pipeline.send()
        pipeline.send_events(records[:50])
        worker.until(pipeline.done, "all events are read")
        assert worker.exits == 0
    pipeline.check()


def test_insert_delayed_until_its_partition_moved_writes_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    long_session = {"SEQUENCE_WORKER_SESSION_SECONDS": "30"}
    with (
        InsertProxy(pipeline.clickhouse.url) as proxy,
        pipeline.worker(tmp_path / "one", url=proxy.address, **long_session) as one,
    ):
        pipeline.send()
        one.until(pipeline.done, "the first events are written")
        proxy.hold()
        pipeline.send()
        one.until(lambda: proxy.held >= 4, "an INSERT of each partition is held")
        # More events make the other worker's INSERTs differ: ClickHouse would drop equal ones by their tokens.
        pipeline.send()
        with pipeline.worker(tmp_path / "two", **long_session) as two:
            eventually(lambda: "partitions assigned" in two.log, "the other worker has partitions")
            eventually(lambda: len(pipeline.rows()) - COUNT > 0, "the other worker has written")
            proxy.release()
            eventually(lambda: proxy.released == proxy.held, "the late INSERTs have arrived")
            eventually(pipeline.done, "all events are written")
            assert (one.exits, two.exits) == (0, 0)
    pipeline.check()


def test_worker_recovers_after_metadata_without_topics(pipeline: Pipeline, tmp_path: Path) -> None:
    with thread_of(KafkaProxy(pipeline.kafka.bootstrap_servers)) as (proxy, run):
        kafka = replace(pipeline.kafka, bootstrap_servers=proxy.address)
        with Worker("sink", kafka, tmp_path, environ=environment(pipeline.clickhouse)) as worker:
            pipeline.send()
            worker.until(pipeline.done, "all is committed")

            proxy.hides_topics = True
            run(proxy.cut())
            run(proxy.open())
            eventually(lambda: proxy.hidden_responses >= 5, "it gets metadata without topics", within_seconds=60)
            proxy.hides_topics = False

            pipeline.send()
            eventually(pipeline.done, "all is committed again", within_seconds=60)
            assert worker.running
            pipeline.check()


@contextmanager
def thread_of(proxy: KafkaProxy) -> Iterator[tuple[KafkaProxy, Callable[[Coroutine[Any, Any, None]], None]]]:
    """Run *proxy* in a thread; yield it with a function that runs a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    run(proxy.open())
    try:
        yield proxy, run
    finally:
        run(proxy.cut())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
