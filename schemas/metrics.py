"""What a Prometheus metric is: its name, meaning and labels. Gateway and workers share it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A Prometheus metric."""

    name: str
    about: str
    labels: tuple[str, ...] = ()
