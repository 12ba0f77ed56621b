"""Assembles a worker process: a Faust app, its tables and its stages, and the server of its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import faust
from faust.types import TP

from processors.engine.app import EngineSettings, faust_app, rebalance_seconds
from processors.engine.app_state import AppState
from processors.engine.batch_schema import BatchSchema
from processors.engine.changelog_table import ChangelogTable, RecoveredRecords
from processors.engine.deployment import warn_of_added_partitions
from processors.engine.exit import fail_fast
from processors.engine.health import Health
from processors.engine.kafka_log import KafkaLog
from processors.engine.lag import LagReader
from processors.engine.metrics import WorkerMetrics
from processors.engine.offsets import OffsetReader
from processors.engine.producer import ChangelogProducer
from processors.engine.project_follower import ProjectFollower
from processors.engine.runner import Runner
from processors.engine.stage import Stage
from processors.engine.status import WorkerStatus
from processors.engine.status_server import StatusServer, listen
from processors.engine.store import StoreOptions
from processors.engine.topic_ids import TopicIds
from processors.engine.watchdog import Limits, Watchdog
from schemas.broker_clock import BrokerClock


class WorkerBuilder:
    """Assembles a worker: first its tables, then the stages that use them."""

    def __init__(self, settings: EngineSettings, *, has_state: bool = True) -> None:
        self._settings = settings
        self.app = faust_app(settings)
        self.app.kafka = settings.kafka
        self.app.kafka_log = KafkaLog()
        self.metrics = WorkerMetrics(settings.name)
        self._clock = BrokerClock()
        self.producer = self.app.changelog_producer = ChangelogProducer(settings.kafka, self._clock)
        self._offsets = self.app.offsets = OffsetReader(settings.kafka)
        self.topic_ids = self.app.topic_ids = TopicIds(settings.kafka, settings.directory if has_state else None)
        self._tables: list[ChangelogTable] = []

    def table(self, name: str, *, topic: str, options: StoreOptions) -> ChangelogTable:
        """Declare a table whose changelog is *topic*."""
        changelog = self.app.topic(topic, schema=BatchSchema())
        recovered = RecoveredRecords()
        table = self.app.Table(
            name,
            changelog_topic=changelog,
            key_type=bytes,
            value_type=bytes,
            # Faust applies recovered events in groups. With a group of one it would continue to read after recovery.
            recovery_buffer_size=2,
            options={"sequence": replace(options, replay=recovered.counted(options.replay))},
        )
        self._tables.append(ChangelogTable(table, self.producer, self._offsets, recovered))
        return self._tables[-1]

    def follow_projects(self) -> ProjectFollower:
        """Return the projects, which are read before the worker recovers its tables and processes its first batch."""
        follower = self.app.project_follower = ProjectFollower(self._settings.kafka)
        return follower

    def run(self, stages: Sequence[Stage], *, other_outputs: Sequence[str] = ()) -> None:
        """Run *stages* until SIGTERM or SIGINT; any error exits the process, as `processors.engine.exit` says.

        They also write to the topics *other_outputs*.
        """
        app, stall_seconds = self.app, self._settings.stall_seconds
        app.other_outputs = other_outputs
        runner = app.runner = Runner(stages, self._offsets, fail_fast, self._settings.name, self._serve_status())
        limits = Limits(stall_seconds, max(stall_seconds, 2 * rebalance_seconds(self._settings)))
        app.watchdog = Watchdog(runner, self._tables, app, limits, fail_fast)
        for stage in stages:
            app.agent(app.topic(stage.topic, schema=BatchSchema()), name=f"{self._settings.name}-{stage.topic}")(
                _agent(runner)
            )
        app.on_partitions_revoked.connect(_on_revoked(runner), weak=False)
        app.on_rebalance_complete.connect(_on_rebalance_complete(runner), weak=False)
        worker = faust.Worker(app, loglevel=None, quiet=True, redirect_stdouts=False, override_logging=False)
        worker.spinner = None
        with app.kafka_log.attached():
            worker.execute_from_commandline()

    def _serve_status(self) -> WorkerStatus:
        """Listen on the port of the metrics, which the app serves once it has started."""
        settings, state = self._settings, AppState(self.app)
        listening = listen(settings.metrics_host, settings.metrics_port)
        lag = LagReader(self.app.conf.id, self._offsets, self._clock, state.assigned_inputs, state.backlogs)
        health = Health(state, settings.stall_seconds / 2)
        status = WorkerStatus(state, self._tables, self.metrics, lag, health)
        self.app.status_server = StatusServer(listening, health, status.metrics)
        return status


def _agent(runner: Runner) -> Any:
    async def forward(stream: Any) -> None:
        # `noack`: the runner alone acknowledges a batch, when it is durable.
        async for event in stream.noack().events():
            runner.submit(event)

    return forward


def _on_revoked(runner: Runner) -> Any:
    async def on_partitions_revoked(app: Any, revoked: set[TP], **_: Any) -> None:
        del app, revoked
        await runner.revoke()

    return on_partitions_revoked


def _on_rebalance_complete(runner: Runner) -> Any:
    async def on_rebalance_complete(app: Any, **_: Any) -> None:
        await runner.revoke()
        if not runner.started:
            await runner.start(app.consumer)
        assignment = app.consumer.assignment()
        warn_of_added_partitions(assignment, app.changelog_producer.key_partitions)
        runner.assign(assignment)

    return on_rebalance_complete
