"""The metrics of every process: those that `schemas.metrics` declares, and those of the repeated audit."""

from __future__ import annotations

from collections.abc import Mapping

from schemas import metrics
from schemas.audit_metrics import AUDIT
from schemas.metrics import Metric

PROCESSES: Mapping[str, tuple[Metric, ...]] = {**metrics.PROCESSES, "audit": AUDIT}
"""By process, the metrics that it exports."""
