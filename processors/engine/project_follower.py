"""Follows `projects.v1`: what administrators decide about projects, as far as workers must know it.

The topic is read completely before a worker processes its first batch, and followed from there. While the broker does
not answer, the last known table counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from processors.engine.offsets import check_topics, read_cluster_id
from schemas.log_throttle import Outage
from schemas.project_table import ProjectTable
from schemas.projects import InvalidEntryError
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import Topics

RETRY_SECONDS = 1.0
REFRESH_SECONDS = 30.0
"""How long `refresh` waits for Kafka."""
_POLL_MS = 1_000

log = logging.getLogger(__name__)


class Projects(Protocol):
    """The projects, as stages need them; `ProjectFollower` has this shape."""

    table: ProjectTable
    """Every project up to the last record read. Ask for it each time: a reload replaces it."""


class ClusterProjects(Projects, Protocol):
    """The projects, and the cluster whose topic has them."""

    cluster_id: str
    """Kafka's ID of the cluster; empty if it reports none."""


class FollowedProjects(ClusterProjects, Protocol):
    """The projects, as they change."""

    async def refresh(self) -> None:
        """Return when the table has every record that the topic has now; the error of Kafka if it does not answer."""


class ProjectFollower:
    """Keeps the table of the topic in memory."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topic = TopicPartition(Topics(settings.topic_prefix).projects, 0)
        self._task: asyncio.Task[None] | None = None
        self._applied = 0
        """Offset below which every record is applied to the table."""
        self._moved = asyncio.Condition()
        """Notified when records were applied."""
        self.cluster_id = ""
        """Kafka's ID of the cluster; empty if it reports none."""
        self.table = ProjectTable()
        """Every project up to the last record read. A reload replaces the table; any thread may read it."""

    async def start(self) -> None:
        """Read the topic to its present end, and follow it from there; a second call changes nothing.

        Raises `TopicsError` without the topic, and the error of Kafka if it does not answer.
        """
        if self._task is None:
            self.cluster_id = await read_cluster_id(self._settings)
            consumer = await self._load()
            self._task = asyncio.get_running_loop().create_task(self._run(consumer), name="project follower")

    async def refresh(self) -> None:
        """Return when the table has every record that the topic has now.

        Raises `TimeoutError`, or the error of Kafka, if it does not answer within `REFRESH_SECONDS`.
        """
        async with asyncio.timeout(REFRESH_SECONDS):
            consumer = AIOKafkaConsumer(**kafka_arguments(self._settings), enable_auto_commit=False)
            try:
                await consumer.start()
                end = (await consumer.end_offsets([self._topic]))[self._topic]
            finally:
                await consumer.stop()
            async with self._moved:
                await self._moved.wait_for(lambda: self._applied >= end)

    async def stop(self) -> None:
        """Stop following the topic."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _load(self) -> AIOKafkaConsumer:
        """Read the whole topic, replace the table, and return the consumer at the end."""
        consumer = AIOKafkaConsumer(**kafka_arguments(self._settings), enable_auto_commit=False)
        try:
            await consumer.start()
            check_topics([self._topic.topic], dict.fromkeys(await consumer.topics(), 1))
            consumer.assign([self._topic])
            await consumer.seek_to_beginning()
            table = ProjectTable()
            end = (await consumer.end_offsets([self._topic]))[self._topic]
            position = await consumer.position(self._topic)
            while position < end:
                position = await self._read(consumer, table)
        except BaseException:
            await consumer.stop()
            raise
        self.table = table
        await self._note_applied(position)
        return consumer

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        """Follow the topic; after an error, read it again from its beginning."""
        outage = Outage()
        following: AIOKafkaConsumer | None = consumer
        while True:
            try:
                following = following or await self._load()
                if outage.succeeded(asyncio.get_running_loop().time()) is not None:
                    log.info("%s is followed again", self._topic.topic)
                while True:
                    await self._note_applied(await self._read(following, self.table))
            except (KafkaError, OSError, TimeoutError) as error:
                if outage.failed(asyncio.get_running_loop().time(), type(error)) is not None:
                    log.warning("%s cannot be followed, retrying: %r", self._topic.topic, error)
            finally:
                if following is not None:
                    await following.stop()
                    following = None
            await asyncio.sleep(RETRY_SECONDS)

    async def _note_applied(self, offset: int) -> None:
        async with self._moved:
            self._applied = offset
            self._moved.notify_all()

    async def _read(self, consumer: AIOKafkaConsumer, table: ProjectTable) -> int:
        """Apply the records that arrive within a second; return the offset below which all are applied."""
        for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
            _apply(table, records)
        return int(await consumer.position(self._topic))


def _apply(table: ProjectTable, records: Iterable[Any]) -> None:
    for record in records:
        with suppress(InvalidEntryError):  # The gateway logs it.
            table.apply(record.key, record.value)
