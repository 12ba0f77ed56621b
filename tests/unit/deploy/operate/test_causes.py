"""One cause has one finding with one remedy, which says what follows from it and since when."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.commands.status import lines
from deploy.operate.causes import Memory
from deploy.operate.finding import Finding
from deploy.operate.status_result import Gateway, Process, Server, Status
from tests.unit.deploy.operate.test_status import judged, only, stage, status

NAMES = ("kafka", "clickhouse", "gateway-1", "dedupe-1", "persons-1", "sink-1", "console")
GATEWAY = Gateway(url="http://127.0.0.1:8080", is_ready=False, about="it does not answer (TimeoutError).")


def local(suspended: str = "", **fields: Any) -> Status:
    """Return the status of a stack, of which one process is *suspended*."""
    processes = [
        Process(
            name=name,
            pid=100 + number,
            started_at="2026-01-01T00:00:00Z",
            log=f"/logs/{name}.log",
            state="suspended" if name == suspended else "ready",
            about="It was suspended.",
        )
        for number, name in enumerate(NAMES)
    ]
    return status(processes=processes, **fields)


def down(name: str) -> Server:
    return Server(name=name, address="x", is_up=False, about=f"{name} at x did not answer within 5 s.")


def test_suspended_worker_is_the_one_cause_of_the_lag_of_its_stage() -> None:
    late = stage("sink", lag_records=500, lag_seconds=90.0)
    finding = only(local("sink-1", stages=[late]), is_local=True)

    assert (finding.level, finding.check, finding.since) == ("error", "sink-1", "2026-01-01T00:08:30.000000Z")
    assert finding.what == "The process sink-1 (105) is suspended. sink is 90 s behind: 500 records."
    assert finding.remedy == "Let it continue: `kill -CONT 105`."


def test_suspended_worker_whose_session_has_ended_is_the_one_cause_as_well() -> None:
    finding = only(local("sink-1", stages=[stage("sink", members=0, lag_records=9, lag_seconds=70.0)]), is_local=True)

    assert "9 records wait" in finding.what
    assert "kill -9" not in f"{finding.why} {finding.remedy}"


@pytest.mark.parametrize("suspended", ["kafka", ""])
def test_kafka_is_the_one_cause_of_gateways_and_workers_that_are_not_ready(suspended: str) -> None:
    found = local(suspended, kafka=down("Kafka"), gateways=[GATEWAY], stages=[], rates=None)
    found.processes[5].state = "disconnected"
    finding = only(found, is_local=True)

    assert finding.check == (suspended or "Kafka")
    assert ("kill -CONT 100" in finding.remedy) == bool(suspended)
    assert "http://127.0.0.1:8080 is not ready" in finding.what


def test_suspended_clickhouse_is_the_one_cause_of_the_lag_of_the_sink() -> None:
    late = [stage("dedupe"), stage("sink", lag_records=500, lag_seconds=90.0)]
    finding = only(local("clickhouse", clickhouse=down("ClickHouse"), stages=late), is_local=True)

    assert finding.remedy == "Let it continue: `kill -CONT 101`."
    assert finding.since == "2026-01-01T00:08:30.000000Z"


def test_suspended_gateway_is_the_one_cause_of_its_missing_answer() -> None:
    assert only(local("gateway-1", gateways=[GATEWAY]), is_local=True).remedy == "Let it continue: `kill -CONT 102`."


def test_causes_that_do_not_follow_from_each_other_stay_apart() -> None:
    """The sink stays suspended when Kafka answers again, and dedupe lags for another reason."""
    found = local("sink-1", kafka=down("Kafka"), stages=[], rates=None)
    assert [each.check for each in judged(found, is_local=True)] == ["Kafka", "sink-1"]

    found = local("sink-1", stages=[stage("dedupe", lag_records=5, lag_seconds=90.0)])
    assert [each.check for each in judged(found, is_local=True)] == ["sink-1", "dedupe"]


def test_gateway_of_a_server_that_does_not_answer_is_a_cause_of_its_own() -> None:
    """Without Kafka it would answer that it is not ready."""
    waits = Gateway(url="http://g:8080", is_ready=False, about="Project registry is stale.")
    found = judged(status(kafka=down("Kafka"), gateways=[GATEWAY, waits], stages=[], rates=None))

    assert [each.check for each in found] == ["Kafka", "gateway"]
    assert "http://g:8080" in found[0].what
    assert found[1].remedy.startswith("Start it, or correct its address.")


def test_suspended_process_is_shown_as_suspended_in_each_table() -> None:
    found = local("clickhouse", clickhouse=down("ClickHouse"), gateways=[GATEWAY], stages=[stage("sink")])
    found.processes[2].state = found.processes[5].state = "suspended"
    judged(found, is_local=True)
    shown = "\n".join(lines(found))

    assert (found.clickhouse.state, found.gateways[0].state, found.stages[0].suspended) == ("suspended", "suspended", 1)
    assert "ClickHouse  suspended  x" in shown
    assert "Gateway     suspended  http://127.0.0.1:8080" in shown
    assert "sink   1, 1 suspended  Stable" in shown


def finding(check: str, since: str | None = None) -> Finding:
    return Finding(level="error", check=check, what="w", why="y", remedy="r", since=since)


def test_finding_that_comes_up_between_two_looks_has_a_time() -> None:
    memory = Memory()
    looks = [
        memory.dated([finding("old")], "t1"),
        memory.dated([finding("old"), finding("new"), finding("known", "t0")], "t2"),
        memory.dated([finding("old"), finding("new")], "t3"),
        memory.dated([], "t4"),
        memory.dated([finding("old")], "t5"),
    ]

    assert [[each.since for each in look] for look in looks] == [[None], [None, "t2", "t0"], [None, "t2"], [], ["t5"]]
