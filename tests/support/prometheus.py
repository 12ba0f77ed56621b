"""A real Prometheus for a test: it scrapes processes of this machine and evaluates the alerting rules."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.support.documents import ROOT
from tests.support.services import Service, free_port

RULES = ROOT / "deploy" / "grafana" / "alerts.yml"
MISSING = "{} is missing: install Debian's package `prometheus`"
_direct = build_opener(ProxyHandler({}))

_CONFIGURATION = """\
global: {{scrape_interval: {interval}s, evaluation_interval: {interval}s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: sequence
    static_configs: [{{targets: {targets}}}]
"""


def program(name: str) -> str:
    """Return the path of *name*, a program of Debian's `prometheus`. Without it the test is skipped, in CI it fails."""
    path = shutil.which(name)
    if path is None:
        assert not os.environ.get("CI"), MISSING.format(name)
        pytest.skip(MISSING.format(name))
    return path


class Prometheus:
    """Prometheus on a port of its own."""

    def __init__(self, directory: Path, ports: Sequence[int], interval_seconds: int = 2) -> None:
        directory.mkdir()
        configuration = directory / "prometheus.yml"
        targets = json.dumps([f"127.0.0.1:{port}" for port in ports])
        configuration.write_text(_CONFIGURATION.format(rules=RULES, targets=targets, interval=interval_seconds))
        self._url = f"http://127.0.0.1:{free_port()}"
        command = [
            program("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={self._url.removeprefix('http://')}",
        ]
        self.service = Service("prometheus", directory, self._url, lambda: command, {}, self._is_ready)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the vector that *expression* gives now."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Return every alerting rule with its state."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def firing(self) -> set[str]:
        """Return the alerts that fire."""
        return {rule["name"] for rule in self.rules() if rule["state"] == "firing"}

    def _get(self, what: str, **parameters: str) -> Any:
        with _direct.open(f"{self._url}/api/v1/{what}?{urlencode(parameters)}", timeout=10) as response:
            return json.load(response)["data"]

    def _is_ready(self) -> bool:
        try:
            with _direct.open(f"{self._url}/-/ready", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False
