"""The metrics of every process: those of `schemas.metrics`, of the repeated audit and of the console."""

from __future__ import annotations

from collections.abc import Mapping

from schemas import metrics
from schemas.audit_metrics import AUDIT
from schemas.console_metrics import CONSOLE
from schemas.metrics import Metric

PROCESSES: Mapping[str, tuple[Metric, ...]] = {**metrics.PROCESSES, "audit": AUDIT, "console": CONSOLE}
"""By process, the metrics that it exports."""
