"""The alerting rules: they name metrics that exist, lead to a paragraph that helps, and do what their tests say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.metrics import Kind
from tests.support.documents import ROOT, page
from tests.support.exported_metrics import PROCESSES
from tests.support.prometheus import RULES, program

TESTS = ROOT / "tests" / "alerts" / "alerts_test.yml"
OPERATIONS = page("docs/operations.md")
OF_PROMETHEUS = {"up", "process_start_time_seconds", "process_open_fds", "process_max_fds"}
_SUFFIXES = ("_bucket", "_sum", "_count")


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path)


ALERTS = [rule for group in load(RULES)["groups"] for rule in group["rules"]]
EVERY_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def exported() -> set[str]:
    """Return every name that a process exports."""
    declared = {metric for of_process in PROCESSES.values() for metric in of_process}
    histograms = {
        f"{metric.name}{suffix}" for metric in declared if metric.kind is Kind.HISTOGRAM for suffix in _SUFFIXES
    }
    return {metric.name for metric in declared if metric.kind is not Kind.HISTOGRAM} | histograms | OF_PROMETHEUS


@EVERY_ALERT
def test_alert_names_metrics_that_a_process_exports(alert: dict[str, Any]) -> None:
    selected = re.findall(r'__name__=~"([^"]+)"', alert["expr"])
    names = set(re.findall(r"\b(?:sequence|process)_\w+|\bup\b", alert["expr"])) if not selected else set()

    assert names | set(selected)
    assert names <= exported()
    assert all(any(re.fullmatch(pattern, name) for name in exported()) for pattern in selected)


@EVERY_ALERT
def test_alert_leads_to_its_own_paragraph(alert: dict[str, Any]) -> None:
    path, _, anchor = alert["annotations"]["runbook"].partition("#")

    assert (ROOT / path) == OPERATIONS.path
    assert anchor == alert["alert"].lower()
    assert anchor in OPERATIONS.anchors()


def test_every_paragraph_has_an_alert() -> None:
    headings = re.findall(r"^### (Sequence\w+)$", OPERATIONS.prose, re.MULTILINE)

    assert headings == [alert["alert"] for alert in ALERTS]


@EVERY_ALERT
def test_alert_has_a_test_in_which_it_fires(alert: dict[str, Any]) -> None:
    assert re.search(rf"\b{alert['alert']}\b", TESTS.read_text())


def test_rules_pass_their_tests_with_promtool() -> None:
    promtool = program("promtool")
    for arguments in (["check", "rules", "--lint-fatal", str(RULES)], ["test", "rules", str(TESTS)]):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_configuration_of_the_compose_file_is_valid(tmp_path: Path) -> None:
    configuration = (RULES.with_name("prometheus.yml")).read_text()
    adapted = tmp_path / "prometheus.yml"
    adapted.write_text(configuration.replace("/etc/prometheus/alerts.yml", str(RULES)))

    done = subprocess.run(
        [program("promtool"), "check", "config", str(adapted)], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr
