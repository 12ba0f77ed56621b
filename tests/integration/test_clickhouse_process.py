"""The embedded ClickHouse process: durability, shutdown, and isolation of concurrent requests."""

from __future__ import annotations

import gzip
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.embedded.clickhouse.engine import CONCURRENCY_LIMITS
from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp

SLOW = "SELECT count() FROM numbers(3) WHERE sleepEachRow(1) = 0"
"""Takes three seconds."""


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[services.Service]:
    monkeypatch.setenv("SEQUENCE_LOCAL_CLICKHOUSE_STALL_SECONDS", "1")
    service = services.embedded_clickhouse(tmp_path)
    service.start()
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture
def client(service: services.Service) -> ClickHouseHttp:
    client = ClickHouseHttp(service.address)
    client.query("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
    return client


def test_acknowledged_rows_survive_kill_9(service: services.Service, client: ClickHouseHttp) -> None:
    for number in range(20):
        assert client.send(f'{{"a":{number}}}', query="INSERT INTO t FORMAT JSONEachRow").status == 200
    service.kill()
    service.start()
    assert client.query("SELECT count(), uniqExact(a) FROM t") == "20\t20"


def test_sigterm_waits_for_running_queries(service: services.Service, client: ClickHouseHttp) -> None:
    with ThreadPoolExecutor() as threads:
        insert = threads.submit(client.query, f"INSERT INTO t {SLOW}")
        services.eventually(lambda: "INSERT" in client.query("SELECT query FROM system.processes"), "the INSERT runs")
        process = service.process
        assert process is not None
        service.send(signal.SIGTERM)
        assert process.wait(15) == 0
        assert insert.exception() is None
    service.stop()
    service.start()
    assert client.query("SELECT * FROM t") == "3"


@pytest.mark.usefixtures("service")
def test_second_server_on_the_same_directory_exits_with_an_error(tmp_path: Path) -> None:
    second = services.embedded_clickhouse(tmp_path)
    ended = subprocess.run(
        second.command(), env={**dict(second.environ), "PATH": ""}, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "is in use" in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()


def test_stalled_body_times_out_and_writes_nothing(client: ClickHouseHttp) -> None:
    host, _, port = client.netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as stalled:
        stalled.sendall(
            b"POST /?query=INSERT+INTO+t+FORMAT+JSONEachRow HTTP/1.1\r\nHost: localhost\r\n"
            + _login()
            + b'Content-Length: 1000\r\n\r\n{"a":1}\n'
        )
        began = time.monotonic()
        assert b"X-ClickHouse-Exception-Code: 209" in stalled.recv(65536)
        assert time.monotonic() - began < 5
    assert client.query("SELECT count() FROM t") == "0"


def test_truncated_body_writes_nothing(client: ClickHouseHttp) -> None:
    host, _, port = client.netloc.partition(":")
    for framing, chunk in (
        (b"Content-Length: 1000", b'{"a":1}\n'),
        (b"Transfer-Encoding: chunked", b'8\r\n{"a":1}\n\r\n'),
    ):
        with socket.create_connection((host, int(port)), timeout=30) as broken:
            broken.sendall(
                b"POST /?query=INSERT+INTO+t+FORMAT+JSONEachRow HTTP/1.1\r\nHost: localhost\r\n"
                + _login()
                + framing
                + b"\r\n\r\n"
            )
            broken.sendall(chunk)
    assert client.query("INSERT INTO t VALUES (2)") == ""
    assert client.query("SELECT a FROM t") == "2"


def test_reading_writes_no_heap_profile(service: services.Service, client: ClickHouseHttp) -> None:
    """The engine can write one, to a file with a name that any user of the machine can foresee."""
    analyst = ClickHouseHttp(client.url, "analyst", services.ANALYST_PASSWORD)
    for table in ("jemalloc_profile_text", "jemalloc_sampled_allocations"):
        sql = f"SELECT * FROM system.{table}"  # noqa: S608
        for reply in (analyst.send(sql), client.send(method="GET", query=sql), client.send(sql)):
            assert "without enabling profiling" in reply.text
    assert client.send("SYSTEM JEMALLOC FLUSH PROFILE").status >= 400
    assert list(Path("/tmp").glob(f"jemalloc_clickhouse.{service.pid}.*")) == []  # noqa: S108  # where the engine writes it


def test_body_that_decompresses_beyond_the_limit_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_LOCAL_CLICKHOUSE_BODY_MIB", "1")
    with services.running(services.embedded_clickhouse(tmp_path / "small")) as service:
        client = ClickHouseHttp(service.address)
        for size, code in ((2**20, None), (2**20 + 1, 241), (2**26, 241)):
            statement = b"SELECT 1".ljust(size)
            assert client.send(gzip.compress(statement), headers={"Content-Encoding": "gzip"}).code == code


def test_result_of_an_analyst_beyond_the_limit_is_rejected(client: ClickHouseHttp) -> None:
    analyst = ClickHouseHttp(client.url, "analyst", services.ANALYST_PASSWORD)
    sql = "SELECT * FROM numbers(1000)"
    limited = {"max_result_bytes": "7999", "result_overflow_mode": "throw"}
    assert replace(analyst, settings=limited).send(sql).code == 396
    assert analyst.send(sql, session_id="result").status == 200
    assert analyst.query("SET max_result_bytes = 7999", session_id="result") == ""
    assert analyst.send(sql, session_id="result").code == 396
    for value in (0, 1_000_000_001):
        assert analyst.send("SELECT 1", session_id="result", max_result_bytes=value).code == 452
    assert client.query("SELECT getSetting('max_result_bytes')") == "0"


def test_slow_queries_do_not_delay_an_insert(client: ClickHouseHttp) -> None:
    very_slow = "SELECT count() FROM numbers(6) WHERE sleepEachRow(1) = 0"
    with ThreadPoolExecutor(16) as threads:
        slow = [
            threads.submit(client.query, very_slow, max_block_size=1) for _ in range(CONCURRENCY_LIMITS["read"] - 1)
        ]
        services.eventually(lambda: _running(client, "sleepEachRow") == len(slow), "the slow queries run")
        waiting = [
            threads.submit(user.query, very_slow, max_block_size=1)
            for user in (client, ClickHouseHttp(client.url, "analyst", services.ANALYST_PASSWORD))
        ]
        assert client.send("INSERT INTO t VALUES (1)").status == 200
        assert not any(query.done() for query in waiting)
        assert {query.result() for query in (*slow, *waiting)} == {"6"}


def test_queued_insert_is_dropped_when_its_client_disconnects(client: ClickHouseHttp) -> None:
    with ThreadPoolExecutor(8) as threads:
        slow = [threads.submit(client.query, f"INSERT INTO t {SLOW}") for _ in range(3)]
        services.eventually(lambda: _running(client, "INSERT") == 3, "the slow INSERTs run")
        hasty = ClickHouseHttp(client.url, timeout_seconds=0.5)
        with pytest.raises(TimeoutError):
            hasty.send("INSERT INTO t VALUES (77)")
        for insert in slow:
            insert.result()
    assert client.query("INSERT INTO t VALUES (4)") == ""
    assert client.query("SELECT a FROM t ORDER BY a") == "3\n3\n3\n4"


def test_kill_query_sync_returns_after_the_query_has_ended(client: ClickHouseHttp) -> None:
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(client.send, f"INSERT INTO t {SLOW}", log_comment="mine")
        services.eventually(lambda: _running(client, "INSERT") == 1, "the INSERT runs")
        client.query("KILL QUERY WHERE Settings['log_comment'] = 'mine' SYNC")
        assert _running(client, "INSERT") == 0
        assert slow.result().code == 394
    assert client.query("SELECT count() FROM t") == "0"


def test_invalid_port_is_reported_at_startup(tmp_path: Path) -> None:
    environ = {"SEQUENCE_STATE_DIR": str(tmp_path), "SEQUENCE_LOCAL_CLICKHOUSE_PORT": "many"}
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.embedded.clickhouse"], env=environ, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert "SEQUENCE_LOCAL_CLICKHOUSE_PORT" in ended.stderr.decode()


def _login() -> bytes:
    return f"X-ClickHouse-Key: {services.WRITER_PASSWORD}\r\n".encode()


def _running(client: ClickHouseHttp, word: str) -> int:
    sql = "SELECT count() FROM system.processes WHERE query LIKE {word:String} AND query NOT LIKE '%system.processes%'"
    return int(client.query(sql, param_word=f"%{word}%"))
