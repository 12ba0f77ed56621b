"""A worker process: a Faust app with the settings that keep the promise, its tables and its stages.

Each setting that differs from Faust's default says why. Faust's web server stays off, because it serves table data;
topics are created by `sequence topics apply` and never by a worker.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.types import TP
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from processors.engine.changelog_table import ChangelogTable
from processors.engine.consumer import BatchSchema
from processors.engine.exit import FAILED, exit_after, fail_fast
from processors.engine.offsets import OffsetReader
from processors.engine.producer import ChangelogProducer
from processors.engine.runner import Runner
from processors.engine.stage import Stage
from processors.engine.store import StoreOptions
from processors.engine.watchdog import Limits, Watchdog
from schemas.settings import KafkaSettings, kafka_arguments

REQUEST_TIMEOUT_SECONDS = 40.0
FETCH_BYTES = 2 * 1024 * 1024
"""What one fetch brings of one partition: some five thousand events, so that slices are worth their overhead."""
METADATA_AGE_MS = 10_000
"""What a leader does not know of its topics it learns so soon; aiokafka's default is five minutes."""
STOP_SECONDS = 20.0
"""Without Kafka neither the last commit nor the farewell to the group comes to an end."""
LEAST_REBALANCE_SECONDS = 20.0
"""A slice in work may finish for 5 s, and an INSERT that was sent is waited for."""
UNLIMITED_SECONDS = 7 * 24 * 60 * 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine needs to know of its worker."""

    name: str
    kafka: KafkaSettings
    directory: Path
    stall_seconds: float
    session_timeout_seconds: float
    standby_replicas: int = 0


class SteadyFlow(FlowControlEvent):
    """Faust's flow into its queues, which it resumes several times for one rebalance."""

    def resume(self) -> None:
        """Go on, with empty queues after a suspension and only then: nobody fetches again what they hold later."""
        if not self.is_active():
            super().resume()


class BatchApp(faust.App):
    """A Faust app that hands its slices to a runner and lets it finish before it stops."""

    # Faust's services tell each step of their life; they tell it under Faust's name.
    logger = logging.getLogger("faust.app")

    runner: Runner
    watchdog: Watchdog
    outputs: ChangelogProducer
    written: Sequence[str] = ()
    """Topics that are written beside the tables' own."""
    logs: OffsetReader
    tables: Any

    async def on_first_start(self) -> None:
        """Connect the outputs and check the topics before anything is read."""
        try:
            await self.logs.start()
            await self.logs.require_same_partitions(
                [*self.runner.stages, *(table.changelog_topic_name for table in self.tables.values()), *self.written]
            )
            await self.outputs.start()
        except Exception as error:  # noqa: BLE001  # whatever keeps it from starting, the process ends
            fail_fast(error)
        await super().on_first_start()
        self.watchdog.start()

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        """What holds slices back during a rebalance."""
        return SteadyFlow(loop=self.loop)

    def settling(self) -> object:
        """Return how far joining and recovering has come, None when the worker is at work."""
        if self.consumer_generation_id and not self.rebalancing and not self.in_recovery:
            return None
        return self.consumer_generation_id, tuple(self.tables.recovery.active_offsets.items())

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        # A Faust app that is stopping lets partitions go at once, whatever is in work.
        if self.should_stop:
            await self.runner.revoke()
        await super()._on_partitions_revoked(revoked)

    def _on_rebalance_when_stopped(self) -> None:
        """Go on: Faust would close the consumer in the middle of the farewell, from another thread than its own."""

    async def on_stop(self) -> None:
        """Finish what is in work, commit, leave; without that where it takes too long."""
        exit_after(STOP_SECONDS, FAILED if self.crashed else 0)
        self.watchdog.stop()
        await self.runner.stop()
        await super().on_stop()
        await self.outputs.stop()
        await self.logs.stop()


class WorkerBuilder:
    """Puts a worker together: first its tables, then the stages that use them."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        settings.directory.mkdir(parents=True, exist_ok=True)
        self.app = _faust_app(settings)
        self.outputs = self.app.outputs = ChangelogProducer(settings.kafka)
        self._logs = self.app.logs = OffsetReader(settings.kafka)
        self._tables: list[ChangelogTable] = []

    def table(self, name: str, *, topic: str, options: StoreOptions) -> ChangelogTable:
        """Declare a table whose changelog is *topic*."""
        changelog = self.app.topic(topic, schema=BatchSchema())
        table = self.app.Table(
            name,
            changelog_topic=changelog,
            key_type=bytes,
            value_type=bytes,
            # Faust applies recovered events in groups; a group of one would also make it go on reading after recovery.
            recovery_buffer_size=2,
            options={"sequence": options},
        )
        self._tables.append(ChangelogTable(table, self.outputs, self._logs))
        return self._tables[-1]

    def run(self, stages: Sequence[Stage], *, written: Sequence[str] = ()) -> None:
        """Run *stages*, which write to the topics *written* as well, until the process is told to stop.

        Any error ends the process with its own code.
        """
        app = self.app
        app.written = written
        runner = app.runner = Runner(stages, self._logs, fail_fast)
        stall_seconds = self._settings.stall_seconds
        limits = Limits(stall_seconds, max(stall_seconds, 2 * _rebalance_seconds(self._settings)))
        app.watchdog = Watchdog(runner, self._tables, app.settling, limits, fail_fast)
        for stage in stages:
            app.agent(app.topic(stage.topic, schema=BatchSchema()), name=f"{self._settings.name}-{stage.topic}")(
                _agent(runner)
            )
        app.on_partitions_revoked.connect(_on_revoked(runner), weak=False)
        app.on_rebalance_complete.connect(_on_rebalance_complete(runner), weak=False)
        worker = faust.Worker(app, loglevel=None, quiet=True, redirect_stdouts=False, override_logging=False)
        worker.spinner = None
        worker.execute_from_commandline()


def _faust_app(settings: EngineSettings) -> BatchApp:
    kafka = settings.kafka
    arguments = kafka_arguments(kafka)
    return BatchApp(
        f"{kafka.topic_prefix}-{settings.name}",
        broker=[f"sequence://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(arguments),
        store="sequence://",
        datadir=str(settings.directory),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=settings.standby_replicas,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds / 5,
        broker_rebalance_timeout=_rebalance_seconds(settings),
        broker_request_timeout=REQUEST_TIMEOUT_SECONDS,
        # A stage may wait for ClickHouse for hours; the watchdog looks after what hangs.
        broker_max_poll_interval=UNLIMITED_SECONDS,
        broker_commit_interval=1.0,
        broker_commit_every=None,
        broker_max_poll_records=None,
        consumer_max_fetch_size=FETCH_BYTES,
        # A leader that a starting broker told of no topics gives nobody a partition, until it asks again.
        consumer_metadata_max_age_ms=METADATA_AGE_MS,
        consumer_auto_offset_reset="earliest",
        # A store ahead of its log crashes Faust without a reason; the stage's own check refuses to run and says why.
        recovery_consistency_check=False,
        stream_buffer_maxsize=1024,
        # The runner waits for what is in work itself, and bounded.
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        worker_redirect_stdouts=False,
    )


def _rebalance_seconds(settings: EngineSettings) -> float:
    """Return how long the group waits for a member to come to a rebalance: longer than slices in work may take."""
    return max(LEAST_REBALANCE_SECONDS, settings.stall_seconds / 2)


def _credentials(arguments: dict[str, Any]) -> Any:
    protocol = arguments.get("security_protocol", "PLAINTEXT")
    context = arguments.get("ssl_context")
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=arguments["sasl_plain_username"],
            password=arguments["sasl_plain_password"],
            mechanism=arguments["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if protocol == "SSL" else None


def _agent(runner: Runner) -> Any:
    async def forward(stream: Any) -> None:
        # `noack`: a slice is acknowledged when it is durable, by the runner alone.
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
        runner.assign(app.consumer.assignment())

    return on_rebalance_complete
