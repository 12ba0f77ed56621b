"""What is wrong with a status, and what `sequence status` says about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from deploy.commands.status import WELL, lines
from deploy.local import restarts
from deploy.operate import status_local, status_processes
from deploy.operate.causes import joined
from deploy.operate.finding import Finding
from deploy.operate.kafka_reader import Members
from deploy.operate.lag import StageLag
from deploy.operate.offsets import Input
from deploy.operate.status import rates
from deploy.operate.status_result import (
    Gateway,
    PartitionLag,
    Process,
    Rates,
    Server,
    Stage,
    Status,
    judge,
    span,
)


def stage(name: str = "sink", **fields: Any) -> Stage:
    values: dict[str, Any] = {
        "state": "Stable",
        "members": 1,
        "hosts": ["10.0.0.1"],
        "topics": [],
        "lag_records": 0,
        "lag_seconds": 0.0,
        "processed_per_second": 0.0,
    }
    return Stage(name=name, group=f"sequence-{name}", **{**values, **fields})


def status(**fields: Any) -> Status:
    values: dict[str, Any] = {
        "kafka": Server(name="Kafka", address="k:9092", is_up=True, about="1 broker"),
        "clickhouse": Server(name="ClickHouse", address="http://c:8123", is_up=True, about="version 26.9"),
        "stages": [stage("dedupe"), stage("persons"), stage("sink")],
        "rates": Rates(accepted=100.0, unique=90.0, duplicates=10.0, rejected=0.0),
        "seconds": 2.0,
        "gateways": [],
        "processes": [],
        "last_rejection": None,
        "findings": [],
    }
    return Status(at="2026-01-01T00:10:00.000000Z", **{**values, **fields})


def judged(found: Status, *, is_local: bool = False) -> list[Finding]:
    status_processes.name_states(found)
    findings = judge(found, max_lag_seconds=60.0, is_local=is_local)
    found.findings = joined([*findings, *status_processes.judge(found)], found)
    assert all(each.what and each.why and each.remedy for each in found.findings)
    return found.findings


def only(found: Status, *, is_local: bool = False) -> Finding:
    (finding,) = judged(found, is_local=is_local)
    return finding


def test_healthy_pipeline_has_no_findings() -> None:
    healthy = status(gateways=[Gateway(url="http://g:8080", is_ready=True)])

    assert judged(healthy) == []
    assert list(lines(healthy))[-1] == WELL


@pytest.mark.parametrize(
    ("part", "variable"), [("kafka", "SEQUENCE_KAFKA_SERVERS"), ("clickhouse", "SEQUENCE_CLICKHOUSE_URL")]
)
def test_server_that_is_down_is_an_error_that_names_its_setting(part: str, variable: str) -> None:
    name = {"kafka": "Kafka", "clickhouse": "ClickHouse"}[part]
    down = Server(name=name, address="x", is_up=False, about=f"{name} at x is unreachable.")
    finding = only(status(**{part: down}, stages=[], rates=None))

    assert (finding.level, finding.check, finding.what) == ("error", name, down.about)
    assert variable in finding.remedy


def test_server_of_the_local_stack_that_is_down_names_its_log() -> None:
    down = Server(name="Kafka", address="x", is_up=False, about="Kafka at x is unreachable.")
    log = Process(name="kafka", pid=7, started_at=None, log="/state/logs/kafka.log")

    assert "/state/logs/kafka.log" in only(status(kafka=down, processes=[log]), is_local=True).remedy


def test_stage_without_workers_is_an_error_that_says_how_to_start_one() -> None:
    finding = only(status(stages=[stage("dedupe", members=0, state="Empty", lag_records=7, lag_seconds=90.0)]))

    assert finding.level == "error"
    assert "No worker dedupe is in the consumer group sequence-dedupe; 7 records wait." in finding.what
    assert finding.remedy == "Start `sequence worker dedupe`."
    assert finding.since == "2026-01-01T00:08:30.000000Z"


def test_group_that_is_rebalancing_is_a_warning() -> None:
    assert only(status(stages=[stage(state="PreparingRebalance")])).level == "warning"


@pytest.mark.parametrize(
    ("processed", "remedy"),
    [
        (0.0, "It processed nothing in this time."),
        (101.0, "It does not catch up: add `sequence worker sink`"),
        (200.0, "at the present rate it has caught up in 100 s."),
    ],
)
def test_lag_above_the_limit_says_whether_it_shrinks(processed: float, remedy: str) -> None:
    behind = stage(lag_records=10_000, lag_seconds=90.0, processed_per_second=processed)
    finding = only(status(stages=[behind]))

    assert finding.what == "sink is 90 s behind: 10000 records."
    assert remedy in finding.remedy


def test_lag_below_the_limit_is_no_finding() -> None:
    assert judged(status(stages=[stage(lag_records=10_000, lag_seconds=60.0)])) == []


def test_errors_come_before_warnings() -> None:
    found = status(stages=[stage("dedupe", state="PreparingRebalance"), stage("sink", members=0)])

    assert [each.level for each in judged(found)] == ["error", "warning"]


def test_gateway_that_is_not_ready_and_missing_topics_are_errors() -> None:
    found = status(
        gateways=[Gateway(url="http://g:8080", is_ready=False, about="draining")], missing_topics=["a.items.v1"]
    )

    assert [each.check for each in judged(found)] == ["topics", "gateway"]
    assert "Gateway     not ready  http://g:8080" in "\n".join(lines(found))


def test_rates_are_growth_per_second_and_never_negative() -> None:
    assert rates([10, 5], [30, 4], 2.0) == [10.0, 0.0]


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (600, "10 min"), (7200 * 2, "4 h"), (86_400 * 3, "3 days")]
)
def test_duration_has_a_fitting_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def lag(committed: int | None, end: int, oldest_ms: int | None) -> StageLag:
    key = "items.v1", 0
    inputs = {key: Input(*key, 0, end, committed)}
    return StageLag("dedupe", Members("Stable", ("h",)), inputs, {} if oldest_ms is None else {key: oldest_ms})


def test_lag_in_seconds_is_the_age_of_the_oldest_unprocessed_record() -> None:
    assert (lag(4, 10, 5_000).records(), lag(4, 10, 5_000).seconds(8.5)) == (6, 3.5)
    assert lag(None, 10, 5_000).records() == 10
    assert lag(10, 10, None).seconds(8.5) == 0.0
    assert lag(4, 10, None).seconds(8.5) is None
    assert lag(4, 10, 9_000).seconds(8.5) == 0.0, "a broker's clock may be ahead"


def test_processes_of_a_stack_have_pid_start_and_last_warning(tmp_path: Path) -> None:
    for name in ("run", "logs"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "sink-1.pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "run" / "sink-2.pid").write_text("999999999\n")
    (tmp_path / "logs" / "sink-1.log").write_text(
        "2026-01-01T00:00:00.000Z WARNING processors.sink: first\n"
        "2026-01-01T00:00:01.000Z WARNING processors.sink: waiting for ClickHouse\n"
        "2026-01-01T00:00:02.000Z INFO processors.sink: it answers\n"
    )
    found = {each.name: each for each in status_local.processes(tmp_path)}

    assert list(found) == ["kafka", "clickhouse", "gateway-1", "dedupe-1", "persons-1", "sink-1", "sink-2", "console"]
    assert found["sink-1"].pid == os.getpid()
    assert found["sink-1"].started_at is not None
    assert (found["sink-1"].last_warning, found["sink-1"].last_warning_at) == (
        *("waiting for ClickHouse.", "2026-01-01T00:00:01Z"),
    )
    assert (found["sink-2"].pid, found["kafka"].pid) == (None, None)


def test_warning_in_json_has_its_time(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kafka.log").write_text(
        '{"time":"2026-01-01T00:00:01.000Z","level":"error","logger":"x","message":"No space left on device"}\n'
    )
    (kafka, *_) = status_local.processes(tmp_path)

    assert kafka.last_warning_at == "2026-01-01T00:00:01Z"
    assert kafka.last_warning is not None
    assert kafka.last_warning.startswith("No space left on device. Free disk space")


def test_restarts_of_a_process_are_counted_with_the_last_reason(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert restarts.read(tmp_path / "run", "sink-1") is None
    for reason in ("exited with code 70. Kafka is down.", "was killed by signal 9."):
        restarts.note(tmp_path / "run", "sink-1", reason)
    (sink,) = [each for each in status_local.processes(tmp_path) if each.name == "sink-1"]

    assert (sink.restarts, sink.restarted_because) == (2, "was killed by signal 9.")
    assert (sink.recent_restarts, sink.first_of_recent) == (2, sink.restarted_at)
    restarts.note(tmp_path / "nowhere", "sink-1", "a full disk is no error")


def test_gateways_of_a_stack_are_on_consecutive_ports(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for number in (1, 2):
        (tmp_path / "run" / f"gateway-{number}.pid").write_text("1\n")

    assert status_local.gateways(tmp_path, {"SEQUENCE_GATEWAY_PORT": "9000"}) == [
        "http://127.0.0.1:9000",
        "http://127.0.0.1:9001",
    ]


def test_slow_clickhouse_is_reported() -> None:
    server = Server(name="ClickHouse", address="http://c:8123", is_up=True, about="version 26.9", seconds=5.94)

    assert "took 5.9 s" in only(status(clickhouse=server)).what


def test_partition_that_is_behind_alone_is_named() -> None:
    behind = [
        PartitionLag(topic="items.v1", partition=1, lag_records=300, lag_seconds=90.0),
        PartitionLag(topic="items.v1", partition=2, lag_records=4, lag_seconds=0.4),
    ]
    late = stage("dedupe", lag_records=304, lag_seconds=90.0, partitions=4, behind=behind)

    assert "dedupe is 90 s behind in items.v1[1]: 300 records." in only(status(stages=[late])).what
