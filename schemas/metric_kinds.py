"""What a Prometheus metric is, for the modules that declare them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The type of a metric, as Prometheus names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A Prometheus metric."""

    name: str
    """The name that a process exports. A histogram has the suffixes `_bucket`, `_sum` and `_count`."""
    kind: Kind
    unit: str
    """What the value counts or measures."""
    about: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without infinity."""
