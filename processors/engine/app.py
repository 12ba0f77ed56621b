"""The Faust app of a worker, with the settings that the guarantee needs.

Each setting that differs from Faust's default has its reason. Faust's web server stays off, because it serves table
data. `sequence topics apply` creates topics; a worker never does.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.types import TP
from mode.utils.objects import cached_property
from mode.utils.queues import FlowControlEvent

from processors.engine.connect import connect
from processors.engine.deployment import require_partitions
from processors.engine.exit import exit_after, fail_fast
from processors.engine.kafka_log import KafkaLog
from processors.engine.offsets import OffsetReader
from processors.engine.permissions import require_permissions
from processors.engine.producer import ChangelogProducer
from processors.engine.project_follower import ProjectFollower
from processors.engine.runner import Runner
from processors.engine.status_server import StatusServer
from processors.engine.topic_ids import TopicIds
from processors.engine.watchdog import Watchdog
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import Topics

REQUEST_TIMEOUT_SECONDS = 40.0
FETCH_BYTES = 2 * 1024 * 1024
"""Bytes of one fetch of one partition: some five thousand events, so that batches are worth their fixed cost."""
METADATA_AGE_MS = 10_000
"""Age at which a group leader reads topic metadata again; aiokafka's default is five minutes."""
STOP_SECONDS = 20.0
"""Limit of a shutdown: without Kafka neither the last commit nor leaving the group completes."""
MIN_REBALANCE_SECONDS = 20.0
"""A batch in process may finish for 5 s, and an INSERT that was sent is waited for."""
UNLIMITED_SECONDS = 7 * 24 * 60 * 60.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine needs to know of its worker."""

    name: str
    kafka: KafkaSettings
    directory: Path
    stall_seconds: float
    session_timeout_seconds: float
    standby_replicas: int = 0
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0


class SteadyFlow(FlowControlEvent):
    """Faust's flow control of its queues, which Faust resumes several times in one rebalance."""

    def resume(self) -> None:
        """Resume with empty queues, but only after a suspension: nothing fetches again what they hold later."""
        if not self.is_active():
            super().resume()


class BatchApp(faust.App):
    """A Faust app that passes its batches to a runner and lets the runner finish before it stops."""

    # Service events are logged under Faust's name, which `deploy.logging` limits to warnings.
    logger = logging.getLogger("faust.app")

    runner: Runner
    watchdog: Watchdog
    status_server: StatusServer
    connected = False
    """Whether Kafka has answered and its topics are as expected."""
    changelog_producer: ChangelogProducer
    offsets: OffsetReader
    kafka: KafkaSettings
    kafka_log: KafkaLog
    topic_ids: TopicIds
    project_follower: ProjectFollower | None = None
    other_outputs: Sequence[str] = ()
    """Output topics beside the tables' changelogs."""
    tables: Any

    async def on_first_start(self) -> None:
        """Connect and check the topics before anything is read."""
        await self.status_server.start()
        try:
            await connect(self._connect, self.kafka.bootstrap_servers)
        except Exception as error:  # noqa: BLE001  # any error exits the process
            fail_fast(error)
        self.connected = True
        await super().on_first_start()
        self.watchdog.start()

    async def _connect(self) -> None:
        changelogs = [table.changelog_topic_name for table in self.tables.values()]
        await self.offsets.start()
        counts = await self.offsets.require_topics([*self.runner.stages, *changelogs, *self.other_outputs])
        topics = Topics(self.kafka.topic_prefix)
        await require_permissions(
            self.kafka,
            group=self.conf.id,
            reads=[*self.runner.stages, *changelogs, topics.projects],
            writes=[*changelogs, *self.other_outputs, topics.rejected],
        )
        await self.topic_ids.start([topics.items, topics.events, topics.identifies, topics.persons])
        if self.project_follower is not None:
            await self.project_follower.start()
        self.changelog_producer.key_partitions = await require_partitions(self.kafka, counts)
        await self.changelog_producer.start()

    @cached_property
    def flow_control(self) -> FlowControlEvent:
        """Flow control of the queues."""
        return SteadyFlow(loop=self.loop)

    def _create_directories(self) -> None:
        """Create nothing: each table creates its own directory, and the sink has none."""

    def recovery_progress(self) -> object:
        """Return a value that changes while the worker joins its group and recovers its tables, None afterwards."""
        if self.consumer_generation_id and not self.rebalancing and not self.in_recovery:
            return None
        return self.consumer_generation_id, tuple(self.tables.recovery.active_offsets.items())

    async def check_topics(self) -> None:
        """Raise `TruncatedLogError` if a topic was deleted and created again while this worker runs."""
        await self.topic_ids.check()

    def loops(self) -> Sequence[asyncio.AbstractEventLoop]:
        """Return the main event loop and that of the consumer's thread."""
        consumer: Any = self.consumer
        return [self.loop, consumer.thread.thread_loop]

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        # A Faust app that is stopping revokes partitions at once, without waiting for batches in process.
        if self.should_stop:
            await self.runner.revoke()
        await super()._on_partitions_revoked(revoked)

    def _on_rebalance_when_stopped(self) -> None:
        """Do nothing: Faust would close the consumer while it leaves the group, from another thread than its own."""

    async def on_stop(self) -> None:
        """Finish batches in process, commit and leave the group; exit if that takes longer than `STOP_SECONDS`."""
        exit_after(STOP_SECONDS, os.EX_SOFTWARE if self.crashed else os.EX_OK)
        self.watchdog.stop()
        await self.runner.stop()
        await super().on_stop()
        await self.changelog_producer.stop()
        if self.project_follower is not None:
            await self.project_follower.stop()
        await self.offsets.stop()
        await self.status_server.stop()


def faust_app(settings: EngineSettings) -> BatchApp:
    """Return the Faust app of a worker, without tables and stages."""
    kafka = settings.kafka
    arguments = kafka_arguments(kafka)
    return BatchApp(
        f"{kafka.topic_prefix}-{settings.name}",
        broker=[f"sequence://{server}" for server in arguments["bootstrap_servers"]],
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
        broker_rebalance_timeout=rebalance_seconds(settings),
        broker_request_timeout=REQUEST_TIMEOUT_SECONDS,
        # A stage may wait for ClickHouse for hours; the watchdog detects what hangs.
        broker_max_poll_interval=UNLIMITED_SECONDS,
        broker_commit_interval=1.0,
        broker_commit_every=None,
        broker_max_poll_records=None,
        consumer_max_fetch_size=FETCH_BYTES,
        # A group leader that got no topics from a starting broker assigns nothing until it reads metadata again.
        consumer_metadata_max_age_ms=METADATA_AGE_MS,
        consumer_auto_offset_reset="earliest",
        # A store ahead of its changelog crashes Faust without a reason; `ChangelogTable` checks and says why.
        recovery_consistency_check=False,
        stream_buffer_maxsize=1024,
        # The runner itself waits for batches in process, with a limit.
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        worker_redirect_stdouts=False,
    )


def rebalance_seconds(settings: EngineSettings) -> float:
    """Return how long the group waits for a member in a rebalance: longer than batches in process may take."""
    return max(MIN_REBALANCE_SECONDS, settings.stall_seconds / 2)


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
