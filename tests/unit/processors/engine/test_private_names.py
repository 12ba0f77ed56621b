"""A canary for each private name of aiokafka and Faust that the engine uses: what to do if an upgrade breaks it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.producer.message_accumulator import BatchBuilder
from faust import App
from faust.app.base import App as BaseApp
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from mode.threads import ServiceThread

from processors.engine import aiokafka_patches, app, consumer

METHODS = [
    (fetcher.PartitionRecords, "_consumer_record", "SlimRecords: override what now builds a ConsumerRecord."),
    (GroupCoordinator, "_do_heartbeat", "observe_heartbeats: wrap what now sends a heartbeat and returns its success."),
    (GroupCoordinator, "_do_commit_offsets", "is_committed_by: find what sends one commit and raises its error."),
    (SubscriptionState, "reassignment_in_progress", "current_assignment: find what says that a rebalance is running."),
    (SubscriptionState, "subscription", "current_assignment: find the object that is replaced by each assignment."),
    (Consumer, "_new_offset", "BatchConsumer: override what computes the offset to commit from acknowledged ones."),
    (Consumer, "_add_gap", "BatchConsumer: override what takes missing offsets for gaps, or commits skip batches."),
    (Consumer, "_get_active_partitions", "BatchConsumer: find which partitions are assigned and not paused."),
    (Consumer, "_wait_next_records", "BatchConsumer: override what waits for the next fetch; Faust's sleeps a second."),
    (ThreadDelegateConsumer, "_getmany", "BatchConsumer: find what fetches in the consumer's thread."),
    (driver.Consumer, "_new_consumer_thread", "BatchConsumer: override what creates the consumer's thread."),
    (AIOKafkaConsumerThread, "_create_worker_consumer", "BatchConsumerThread: override what builds the consumer."),
    (AIOKafkaConsumerThread, "_ensure_consumer", "BatchConsumerThread: find what returns aiokafka's consumer."),
    (AIOKafkaConsumerThread, "_fetch_records", "BatchConsumerThread: override what returns fetched records."),
    (AIOKafkaConsumerThread, "_seek_wait", "BatchConsumerThread: override every seek, so that it starts an epoch."),
    (AIOKafkaConsumerThread, "verify_event_path", "BatchConsumerThread: silence the check of paused partitions."),
    (BaseApp, "_on_partitions_revoked", "BatchApp: let the runner finish before a stopping app revokes partitions."),
    (BaseApp, "_on_rebalance_when_stopped", "BatchApp: keep Faust from closing the consumer from another thread."),
    (
        BaseApp,
        "_create_directories",
        "BatchApp: Faust creates no directories; the sink needs none, tables create theirs.",
    ),
]
"""Class, name, and what in the engine depends on it."""

SOURCES: list[tuple[Any, str, str]] = [
    (
        AIOKafkaConsumer.__init__,
        "self._fetch_max_wait_ms = ",
        "set_initial_fetch_wait: find the fetch wait's attribute.",
    ),
    (AIOKafkaConsumer.start, "self._fetcher = Fetcher(", "set_fetch_wait: find the consumer's fetcher."),
    (AIOKafkaConsumer.start, "self._coordinator = GroupCoordinator(", "observe_heartbeats: find the coordinator."),
    (AIOKafkaConsumer.__init__, "self._subscription = ", "current_assignment: find the subscription."),
    (
        GroupCoordinator,
        "await self._do_heartbeat()",
        "observe_heartbeats: the heartbeat must be looked up on the object.",
    ),
    (
        GroupCoordinator.request_rejoin,
        "self._rejoin_needed_fut.set_result(",
        "observe_heartbeats: find what is set when a heartbeat is answered during a rebalance.",
    ),
    (
        GroupCoordinator._do_heartbeat,
        "Errors.RebalanceInProgressError:",
        "observe_heartbeats: a heartbeat during a rebalance must request a rejoin, or it must not be a success.",
    ),
    (GroupCoordinator.coordinator_dead, "self.coordinator_id = None", "is_committed_by: find what names the node."),
    (
        GroupCoordinator._do_commit_offsets,
        "raise first_error",
        "is_committed_by: a commit that is not acknowledged must raise.",
    ),
    (GroupCoordinator._start_heartbeat_task, "self._heartbeat_task = ", "send_heartbeat: find what tells a member."),
    (Fetcher._get_actions_per_node, "self._fetch_min_bytes,", "set_fetch_wait: it must be read for each request."),
    (Fetcher._get_actions_per_node, "self._fetch_max_wait_ms,", "set_fetch_wait: it must be read for each request."),
    (Fetcher, "= PartitionRecords(", "patch_consumer_records: the class must be looked up by its name in the module."),
    (
        BatchBuilder.__init__,
        "self._builder = DefaultRecordBatchBuilder(",
        "append_outputs: find what BatchBuilder wraps.",
    ),
    (BatchBuilder.append, "metadata = self._builder.append(", "append_outputs: find what appends a record."),
    (BatchBuilder.append, "if metadata is None:", "append_outputs: find how a full batch is reported."),
    (BatchBuilder.append, "self._relative_offset += 1", "append_outputs: find where records are counted."),
    (AIOKafkaClient.bootstrap, "log.error('Unable connect to", "connection_errors: find where the reason is logged."),
    (Consumer.__init__, "self._acked = ", "_new_offset: find where acknowledged offsets are kept."),
    (Consumer.__init__, "self._committed_offset = ", "start_at: find what keeps lower offsets from being committed."),
    (Consumer._should_commit, "self._committed_offset[tp]", "start_at: find what keeps lower offsets from a commit."),
    (AIOKafkaConsumer.committed, "self._coordinator.fetch_committed_offsets(", "committed_offsets: find the metadata."),
    (
        GroupCoordinator._do_fetch_commit_offsets,
        "OffsetAndMetadata(offset, metadata)",
        "committed_offsets: find the metadata of a commit.",
    ),
    (AIOKafkaConsumerThread._commit, "await consumer.commit(", "add_commit_metadata: wrap what now commits."),
    (
        Recovery.on_recovery_completed,
        "consumer.perform_seek()",
        "start_at: find what seeks the committed offsets after an assignment.",
    ),
    (Recovery._resume_streams, "consumer.perform_seek()", "start_at: find what seeks the committed offsets."),
    (Consumer.__init__, "self._acked_index = ", "_new_offset: find where acknowledged offsets are kept."),
    (
        Consumer.__init__,
        "self._read_offset = ",
        "on_partitions_assigned: find the last delivered offsets and clear them.",
    ),
    (
        Consumer.__init__,
        "self._buffered_partitions = ",
        "on_partitions_assigned: find the partitions paused when full.",
    ),
    (Recovery, "active_offsets", "recovery_progress: find what changes while tables recover."),
    (ServiceThread.__init__, "self.thread_loop = ", "loops: find the loop of the consumer's thread."),
]
"""Function or class whose source must contain a text, and what in the engine depends on it."""


@pytest.mark.parametrize(("owner", "name", "advice"), METHODS, ids=[f"{row[0].__name__}.{row[1]}" for row in METHODS])
def test_private_method_exists(owner: type, name: str, advice: str) -> None:
    assert hasattr(owner, name), advice


@pytest.mark.parametrize(("owner", "text", "advice"), SOURCES, ids=[row[1].strip(" =(,") for row in SOURCES])
def test_private_attribute_is_used_as_the_engine_expects(owner: Any, text: str, advice: str) -> None:
    assert text in inspect.getsource(owner), advice


def test_flow_control_is_a_cached_property_of_the_app() -> None:
    assert hasattr(App.flow_control, "__get__"), "BatchApp.flow_control: find what creates Faust's flow control"


MODULES = (aiokafka_patches, app, consumer)
"""The modules of the engine that use private names."""
COVERED = {name for _, name, _ in METHODS} | {
    name for _, text, _ in SOURCES for name in re.findall(r"\b_[a-z]\w+", text)
}


def private_attributes(tree: ast.Module) -> set[str]:
    """Return the private attributes that *tree* uses and does not define."""
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr)]
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {node.attr for node in used} - {node.attr for node in used if _is_own_assignment(node)} - functions


def _is_own_assignment(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_private_attribute_has_a_canary(module: ModuleType) -> None:
    assert private_attributes(ast.parse(inspect.getsource(module))) - COVERED == set()


@pytest.mark.parametrize(
    "kind", [aiokafka_patches.SlimRecords, app.BatchApp, consumer.BatchConsumer, consumer.BatchConsumerThread]
)
def test_every_private_override_has_a_canary(kind: type) -> None:
    overrides = {name for name in vars(kind) if re.match("_[a-z]", name) and hasattr(kind.__base__, name)}
    assert overrides - COVERED - {"_tasks", "_abc_impl"} == set()


def test_private_names_of_aiokafka_are_in_one_module() -> None:
    names = ("._fetcher", "._coordinator", "._subscription.", "._client", "._fetch_m", "_do_heartbeat")
    engine = Path(inspect.getfile(app)).parent
    found = {path.name for path in engine.glob("*.py") if any(name in path.read_text() for name in names)}
    assert found - {"offsets.py"} == {"aiokafka_patches.py"}
