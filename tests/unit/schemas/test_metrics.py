"""Every process exports the metrics that are declared for it, under the conventions of Prometheus."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from deploy.console.metrics import ConsoleMetrics
from deploy.operate.audit_metrics import AuditMetrics
from gateway.metrics import GatewayMetrics
from processors.engine.metrics import WorkerMetrics
from schemas.metrics import Kind, Metric
from tests.support.exported_metrics import PROCESSES

DECLARED = sorted({metric for of_process in PROCESSES.values() for metric in of_process}, key=lambda each: each.name)
EVERY_METRIC = pytest.mark.parametrize("metric", DECLARED, ids=lambda metric: metric.name)
RESERVED = {"le", "quantile", "instance", "job"}


def registry(process: str) -> CollectorRegistry:
    """Return the registry of a new *process*."""
    if process == "gateway":
        return GatewayMetrics().registry
    if process == "console":
        return ConsoleMetrics().registry
    return AuditMetrics(0.0).registry if process == "audit" else WorkerMetrics(process).registry


@pytest.mark.parametrize("process", PROCESSES)
def test_process_exports_what_is_declared_for_it_and_nothing_else(process: str) -> None:
    exported = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type, family.documentation)
        for family in registry(process).collect()
        if family.name.startswith("sequence_")
    }

    assert exported == {(metric.name, metric.kind.value, metric.about) for metric in PROCESSES[process]}


@pytest.mark.parametrize("process", PROCESSES)
def test_process_exports_its_open_files_and_its_start(process: str) -> None:
    for name in ("process_open_fds", "process_max_fds", "process_start_time_seconds"):
        assert (registry(process).get_sample_value(name) or 0) > 0


@EVERY_METRIC
def test_name_ends_with_the_unit(metric: Metric) -> None:
    name = metric.name.removesuffix("_total")

    assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total")
    assert metric.unit not in {"seconds", "bytes"} or name.endswith(f"_{metric.unit}")


@EVERY_METRIC
def test_labels_are_none_that_prometheus_sets(metric: Metric) -> None:
    assert not RESERVED & set(metric.labels)


@EVERY_METRIC
def test_buckets_grow_and_belong_to_histograms(metric: Metric) -> None:
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
