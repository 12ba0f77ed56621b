"""The logs of a healthy `sequence up`: nothing at WARNING or above, in text and in JSON, at start, stop and restart."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import pytest

from schemas.addresses import http_url
from tests.faults.quiet import QuietStack, report, severe_lines, watch
from tests.support.services import clickhouse_answers, embedded_clickhouse, running

pytestmark = pytest.mark.services

SERVICES = {"kafka", "clickhouse", "gateway-1", "dedupe-1", "persons-1", "sink-1", "console"}


@pytest.mark.timeout(480)
def test_healthy_stack_logs_no_warning_and_only_json_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JDK_JAVA_OPTIONS", raising=False)  # Java logs that it has them.
    stack = QuietStack(tmp_path, {"SEQUENCE_LOG_FORMAT": "json"}, each=1)
    for seed in (1, 2):
        with stack.running():
            stack.send(3.0, seed)
    logs = stack.logs(hours=1.0)

    assert [log for log in logs if log.severe] == []
    assert {log.part for log in logs} == SERVICES
    for path in (tmp_path / "state" / "logs").glob("*.log"):
        for line in path.read_text().splitlines():
            assert json.loads(line).keys() >= {"time", "level", "logger", "message"}


def test_client_that_disconnects_leaves_no_line_in_the_log_of_clickhouse(tmp_path: Path) -> None:
    with running(embedded_clickhouse(tmp_path)) as clickhouse:
        url = http_url(clickhouse.address)
        head = (
            "POST /?query=SELECT HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            f"X-ClickHouse-User: {url.username}\r\nX-ClickHouse-Key: {url.password}\r\n\r\n"
        )
        for _ in range(5):
            with socket.create_connection((url.host, url.port)) as client:
                client.sendall(f"{head}half".encode())
                assert clickhouse_answers(clickhouse.address)
                # Closes with a reset.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert clickhouse_answers(clickhouse.address)

    assert severe_lines((tmp_path / "log").read_text()) == ()


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_healthy_stack_logs_no_warning_beyond_the_first_five_minutes(tmp_path: Path) -> None:
    """Faust has checks that begin after five minutes; one of them logged ERROR for each healthy partition."""
    logs = watch(tmp_path, minutes=7.0)

    assert [log for log in logs if log.severe] == [], report(logs)
    assert max(log.bytes_per_hour for log in logs) < 100_000, report(logs)


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-29T01:49:34.762Z WARNING aiokafka.consumer: Heartbeat failed",
        "2026-11-29T01:49:34.762Z WARN QuorumController: Performing controller activation.",
        "2026-11-29T01:49:34.762Z ERROR faust.app: Stream has not started processing",
        '{"time": "t", "level": "warning", "logger": "a", "message": "INFO level"}',
        '{"time":"t","level":"error","logger":"a","message":"b"}',
        "Traceback (most recent call last):",
        "WARNING: A terminally deprecated method in sun.misc.Unsafe has been called",
        "<string>:1: DeprecationWarning: old",
    ],
)
def test_line_at_warning_or_without_a_level_is_counted(line: str) -> None:
    quiet = [
        "2026-11-29T01:49:30.852Z INFO gateway.server: WARNING ERROR",
        '{"time":"t","level":"info","message":"x"}',
        "",
    ]

    assert severe_lines("\n".join([*quiet, line])) == (line,)
