"""Reads `/metrics` and `/health/ready` of a process as Prometheus and an orchestrator do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_direct = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class StatusPages:
    """The pages of the process at *port* of this machine."""

    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of *path*, status 0 if nobody answers."""
        try:
            with _direct.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, HTTPException):
            return 0, ""

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Return status and content of `/health/ready`."""
        status, body = self.get("/health/ready")
        return status, json.loads(body) if body else {}

    def is_ready(self) -> bool:
        """Return whether the process says that it is ready."""
        return self.get("/health/ready")[0] == 200

    def samples(self) -> list[Sample]:
        """Return every sample of one scrape; none if nobody answers."""
        return [each for family in text_string_to_metric_families(self.get("/metrics")[1]) for each in family.samples]

    def values(self, name: str, **labels: str) -> list[float]:
        """Return the values of the samples *name* that have *labels*."""
        return list(_values(self.samples(), name, labels))

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of these values."""
        return sum(self.values(name, **labels))


def _values(samples: list[Sample], name: str, labels: dict[str, str]) -> Iterator[float]:
    for sample in samples:
        if sample.name == name and labels.items() <= sample.labels.items():
            yield sample.value
