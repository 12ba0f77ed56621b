"""Counters are exported before their first event: one that appears with it shows no increase to an alert."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from deploy.console.metrics import ConsoleMetrics
from gateway.kafka.producer import RecreatingProducer
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings
from processors.dedupe.stage import DedupeStage
from processors.engine.metrics import WorkerMetrics
from processors.persons.stage import FoldStage
from processors.rejected_topic import RejectedTopic
from processors.retention.keeper import RetentionKeeper
from processors.sink.catalog import CountedTable
from processors.sink.catalog_counter import Counter
from processors.sink.catalog_statement import SOURCES
from processors.sink.insert_metrics import InsertMetrics
from schemas.clickhouse import TABLES
from schemas.console_metrics import CONSOLE
from schemas.metric_kinds import Kind
from schemas.metrics import PROCESSES
from schemas.topics import Topics
from tests.contracts.sinks import valid_lease
from tests.fakes.catalog import MemoryCatalog
from tests.fakes.outputs import MemoryOutputs

TOPICS = Topics("s")
OF_PROJECTS = {"sequence_gateway_project_items_total", "sequence_gateway_warnings_total"}
"""Their projects are known with their first request."""


def worker(name: str) -> CollectorRegistry:
    """Return the registry of worker *name* whose stages are made, and have done nothing."""
    metrics = WorkerMetrics(name)
    unused: Any = None
    rejected = RejectedTopic(MemoryOutputs(), TOPICS, name, metrics)
    if name == "dedupe":
        DedupeStage(TOPICS, unused, unused, rejected, 1)
    elif name == "persons":
        FoldStage(TOPICS, unused, rejected, unused)
    else:
        for table in TABLES:
            InsertMetrics(table, metrics)
        for source in SOURCES:
            CountedTable(Counter(source, MemoryCatalog(), valid_lease), metrics)
        RetentionKeeper(unused, unused, unused, metrics)
    return metrics.registry


def registry(process: str) -> CollectorRegistry:
    """Return the registry of *process* before it has done anything."""
    if process == "console":
        return ConsoleMetrics().registry
    if process != "gateway":
        return worker(process)
    metrics = GatewayMetrics()
    RecreatingProducer(GatewaySettings(), [TOPICS.items, TOPICS.rejected], metrics)
    return metrics.registry


@pytest.mark.parametrize("process", ["gateway", "dedupe", "persons", "sink", "console"])
def test_counter_has_a_value_before_its_first_event(process: str) -> None:
    declared = CONSOLE if process == "console" else PROCESSES[process]
    counters = {metric.name for metric in declared if metric.kind is Kind.COUNTER}
    if process == "sink":
        counters.discard("sequence_worker_items_total")  # Its items are the rows of its INSERTs.
    with_values = {sample.name for family in registry(process).collect() for sample in family.samples}

    assert counters - with_values == (OF_PROJECTS if process == "gateway" else set())
