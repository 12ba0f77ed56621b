"""Follows the topic of projects and tokens, so that a change counts within a second and without a restart."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.errors import StartError, UnavailableError, describe
from gateway.metrics import GatewayMetrics
from schemas.projects import Directory, InvalidEntryError, Project
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import Topics

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_CHECK_EVERY_SECONDS = 5.0


class ProjectSource(Protocol):
    """Knows which project a token opens."""

    async def start(self) -> None:
        """Learn every project and token; raise `StartError` where that is not possible."""

    def find(self, token: str) -> Project | None:
        """Return the project that *token* opens now, None for one that is unknown, revoked or expired."""

    def unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests of tokens that were used since this was asked last and have no record of *day* yet."""

    def check(self) -> None:
        """Raise `UnavailableError` while changes may be missed."""

    async def close(self) -> None:
        """Stop following."""


class ProjectRegistry:
    """The topic, read whole at the start and followed from there.

    When it cannot be followed, what is known goes on to count and the topic is read whole again as soon as possible.
    """

    def __init__(self, kafka: KafkaSettings, metrics: GatewayMetrics, *, start_timeout_seconds: float) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._start_timeout_seconds = start_timeout_seconds
        self._directory = Directory()
        self._follows = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the topic up to its present end."""
        limit = self._start_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                consumer = await self._read_whole()
        except TimeoutError:
            servers = f"{self._kafka.bootstrap_servers} (SEQUENCE_KAFKA_SERVERS)"
            raise StartError(f"projects could not be read from Kafka at {servers} within {limit:g} s") from None
        known = self._directory
        log.info("%d projects and %d tokens read", len(known.projects), len(known.tokens))
        self._task = asyncio.get_running_loop().create_task(self._run(consumer), name="projects")

    def find(self, token: str) -> Project | None:
        """Return the project that *token* opens now."""
        return self._directory.find(token, time.time_ns() // 1000)

    def unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests of tokens used here since this was asked last that have no record of *day* yet."""
        return self._directory.unrecorded_uses(day)

    def check(self) -> None:
        """Raise `UnavailableError` while the topic is not followed."""
        if not self._follows:
            raise UnavailableError("Projects and tokens are not followed at the moment.")

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read_whole(self) -> AIOKafkaConsumer:
        while True:
            try:
                consumer = await open_topic(self._kafka)
            except (KafkaError, OSError) as error:
                log.warning("projects cannot be read, trying again: %s", describe(error))
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            try:
                self._directory = await read_to_end(consumer)
            except BaseException:
                await close_consumer(consumer)
                raise
            self._follows = True
            return consumer

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                await self._follow(consumer)
            except Exception as error:  # noqa: BLE001  # whatever it was, what is known counts on and is read again
                log.warning("projects are not followed: %s", describe(error))
            finally:
                self._follows = False
                await close_consumer(consumer)
            await asyncio.sleep(_PAUSE_SECONDS)
            consumer = await self._read_again()
            log.info("projects are followed again")

    async def _read_again(self) -> AIOKafkaConsumer:
        while True:
            try:
                async with asyncio.timeout(self._start_timeout_seconds):
                    return await self._read_whole()
            except Exception as error:  # noqa: BLE001
                log.warning("projects cannot be read, trying again: %s", describe(error))
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        """Apply what comes, and make sure now and then that nothing is missed; raises when the broker is away."""
        (partition,) = consumer.assignment()
        checked_at = time.monotonic()
        behind_at = -1
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                _apply(self._directory, records)
                self._metrics.directory_changes.inc(len(records))
            if time.monotonic() - checked_at < _CHECK_EVERY_SECONDS:
                continue
            checked_at = time.monotonic()
            async with asyncio.timeout(_CHECK_EVERY_SECONDS):
                end = (await consumer.end_offsets([partition]))[partition]
                position = await consumer.position(partition)
            if position < end and position == behind_at:
                raise KafkaError(f"records from offset {position} on do not come")
            behind_at = position if position < end else -1


async def open_topic(kafka: KafkaSettings) -> AIOKafkaConsumer:
    """Return a consumer at the beginning of the topic; `StartError` where the topic is missing."""
    topic = Topics(kafka.topic_prefix).projects
    consumer = AIOKafkaConsumer(
        **kafka_arguments(kafka),
        client_id="sequence-projects",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=10_000,
        retry_backoff_ms=200,
    )
    try:
        await consumer.start()
        _require(topic, await consumer.topics())
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
    except BaseException:
        await close_consumer(consumer)
        raise
    return consumer


def _require(topic: str, existing: Collection[str]) -> None:
    if topic not in existing:
        raise StartError(f"topics are missing: {topic}; make them with `sequence topics apply`")


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop *consumer*, whatever state it is in.

    While the broker is away, aiokafka's `stop` can end early with the cancellation of one of its own tasks.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping], timeout=5.0)
    if not stopping.done() or stopping.cancelled() or stopping.exception() is not None:
        stopping.cancel()
        await consumer._client.close()  # noqa: SLF001


async def read_to_end(consumer: AIOKafkaConsumer) -> Directory:
    """Return what the topic holds up to the end that it has now."""
    directory = Directory()
    (partition,) = consumer.assignment()
    end = (await consumer.end_offsets([partition]))[partition]
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            _apply(directory, records)
    return directory


def _apply(directory: Directory, records: Iterable[Any]) -> None:
    for record in records:
        try:
            directory.apply(record.key, record.value)
        except InvalidEntryError as error:
            log.warning("the record at offset %d of projects is left out: %s", record.offset, error)
