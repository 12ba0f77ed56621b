"""The dashboard is made from its declaration, and names metrics that exist."""

from __future__ import annotations

import json
import re

import pytest

from tests.support import grafana_dashboard
from tests.unit.test_alerts import exported

OF_PROCESSES = {"process_cpu_seconds_total", "process_resident_memory_bytes"}


def test_committed_dashboard_is_that_of_the_declaration() -> None:
    committed = json.loads(grafana_dashboard.FILE.read_text(encoding="utf-8"))

    assert committed == json.loads(grafana_dashboard.content()), f"run {grafana_dashboard.COMMAND}"


@pytest.mark.parametrize("expression", sorted(set(grafana_dashboard.expressions())))
def test_line_names_metrics_that_a_process_exports(expression: str) -> None:
    names = set(re.findall(r"\b(?:sequence|process)_\w+", re.sub(r'"[^"]*"', "", expression)))
    patterns = re.findall(r'__name__=~"([^"]+)"', expression)

    assert names or patterns
    assert names <= exported() | OF_PROCESSES
    assert all(any(re.fullmatch(pattern, name) for name in exported()) for pattern in patterns)
