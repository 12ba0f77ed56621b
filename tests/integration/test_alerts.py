"""A real Prometheus scrapes `sequence up`: no alert fires until ClickHouse is stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest
from ruamel.yaml import YAML

from schemas.metrics import Kind
from tests.support import grafana_dashboard
from tests.support.exported_metrics import PROCESSES
from tests.support.local_stack import Stack
from tests.support.prometheus import RULES, Prometheus
from tests.support.repeated_audit import repeated_audit
from tests.support.services import eventually, free_port, running

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

ABSENT = {
    "sequence_sink_failing_views",
    "sequence_gateway_failed_batches_total",
    "sequence_gateway_warnings_total",
    "sequence_sink_catalog_failed_passes_total",
    "sequence_sink_catalog_skipped_offsets_total",
}
"""Metrics without a value in a stack that is well: their labels are not known before."""
REPORTED_SECONDS = 120.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.start()
    yield stack
    stack.kill()


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    first, of_audit = int(stack.environ["SEQUENCE_LOCAL_METRICS_PORT"]), free_port()
    ports = [stack.gateway, *range(first, first + 3), stack.console, of_audit]
    made = Prometheus(tmp_path_factory.mktemp("prometheus") / "server", ports)
    with repeated_audit(stack.environ, tmp_path_factory.mktemp("audit") / "log", of_audit), running(made.service):
        eventually(
            lambda: made.query("sum(up)") != [] and made.query("sum(up)")[0]["value"][1] == "6", "6 targets are up"
        )
        yield made


def test_every_declared_metric_is_scraped(stack: Stack, prometheus: Prometheus) -> None:
    declared = {
        f"{metric.name}_count" if metric.kind is Kind.HISTOGRAM else metric.name
        for of_process in PROCESSES.values()
        for metric in of_process
    }

    def missing() -> set[str]:
        # Clocks are measured while events arrive.
        stack.post("Scraped")
        found = prometheus.query('group by (__name__) ({__name__=~"sequence_.+"})')
        return declared - {each["metric"]["__name__"] for each in found}

    with suppress(AssertionError):
        eventually(lambda: missing() <= ABSENT, "every metric has a value", every_seconds=1.0)
    assert missing() <= ABSENT


def test_every_rule_is_evaluated_and_none_fires(prometheus: Prometheus) -> None:
    names = {rule["alert"] for group in YAML(typ="safe").load(Path(RULES))["groups"] for rule in group["rules"]}

    def evaluated() -> bool:
        return all(not rule["lastEvaluation"].startswith("0001") for rule in prometheus.rules())

    eventually(evaluated, "every rule is evaluated")
    assert {(rule["name"], rule["health"], rule["state"]) for rule in prometheus.rules()} == {
        (name, "ok", "inactive") for name in names
    }


@pytest.mark.parametrize("expression", sorted(set(grafana_dashboard.expressions())))
def test_line_of_the_dashboard_has_values(stack: Stack, prometheus: Prometheus, expression: str) -> None:
    def found() -> bool:
        # A rate needs two scrapes with different values.
        stack.post("Shown")
        has_values = bool(prometheus.query(expression.replace("$__rate_interval", "1m")))
        return has_values or expression.endswith("> 0")  # of what has not happened, there is none

    eventually(found, f"{expression} has a value", within_seconds=60, every_seconds=1.0)


@pytest.mark.faults  # it takes two minutes
def test_stopped_clickhouse_is_reported_and_the_report_ends(stack: Stack, prometheus: Prometheus) -> None:
    os.kill(stack.pid("clickhouse"), signal.SIGSTOP)
    try:
        stopped_at = monotonic()
        stack.post("Waiting")
        eventually(
            lambda: prometheus.firing() & {"SequenceLag", "SequenceSinkWaiting"} != set(),
            "an alert fires",
            within_seconds=REPORTED_SECONDS,
            every_seconds=1.0,
        )
        assert monotonic() - stopped_at < REPORTED_SECONDS
        [lag] = prometheus.query('max(sequence_worker_lag_seconds{topic=~".+events.v1"})')
        assert abs(float(lag["value"][1]) - (monotonic() - stopped_at)) < 10
    finally:
        os.kill(stack.pid("clickhouse"), signal.SIGCONT)
    eventually(
        lambda: not prometheus.firing() - {"SequenceVisibleLate"},
        "no alert fires but that of late rows",
        within_seconds=90,
        every_seconds=1.0,
    )
