"""Project registry: a global table of `projects.v1` that every gateway keeps in memory.

The topic is read completely at startup and followed from there, so a change takes effect within a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from prometheus_client import Counter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_fixed

from gateway.errors import StartError, UnavailableError, describe
from gateway.kafka.aiokafka_private import close
from gateway.kafka.producer import require_topics
from schemas.denials import denial
from schemas.log_throttle import Outage
from schemas.project_table import Grant, ProjectTable
from schemas.projects import Deployment, InvalidEntryError
from schemas.settings import KafkaSettings, certificate_fault, kafka_arguments
from schemas.topics import VERSION, Topics

log = logging.getLogger(__name__)

_BACKOFF = wait_fixed(1.0)
CLOSE_TIMEOUT_SECONDS = 2.0
_LAG_CHECK_INTERVAL_SECONDS = 5.0


class ProjectSource(Protocol):
    """Authenticates tokens."""

    async def start(self) -> None:
        """Load every project and token; raise `StartError` if that is not possible."""

    def find_and_record_use(self, token: str) -> Grant | None:
        """Return what a valid *token* permits and record its use; None if it is unknown, revoked or expired."""

    def pop_unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests of tokens used since the last call whose use on *day* is not recorded."""

    def check(self) -> None:
        """Raise `UnavailableError` while changes may be missed."""

    async def close(self) -> None:
        """Stop following changes."""


class _Metrics(Protocol):
    """The metrics that a registry updates."""

    project_changes: Counter


class ProjectRegistry:
    """Follows the topic. While it is disconnected, the known projects and tokens stay valid; then it reloads all."""

    def __init__(self, kafka: KafkaSettings, metrics: _Metrics, *, start_timeout_seconds: float) -> None:
        self._kafka = kafka
        self._metrics = metrics
        self._load_timeout_seconds = start_timeout_seconds
        self._table = ProjectTable()
        self._is_current = False
        self._task: asyncio.Task[None] | None = None
        self._outage = Outage()

    async def start(self) -> None:
        """Read the topic up to its present end."""
        limit = self._load_timeout_seconds
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((KafkaError, OSError)),
            wait=_BACKOFF,
            before_sleep=self._log_retry,
            reraise=True,
        )
        try:
            async with asyncio.timeout(limit):
                consumer: AIOKafkaConsumer = await retrying(self._load)
        except TimeoutError:
            raise StartError(
                f"Could not read projects from Kafka at {self._kafka.bootstrap_servers} within {limit:g} s"
                f"{certificate_fault(self._kafka)}. Check SEQUENCE_KAFKA_SERVERS."
            ) from None
        self._outage.succeeded(time.monotonic())
        log.info("project registry loaded: %d projects, %d tokens", len(self._table.projects), len(self._table.tokens))
        self._task = asyncio.get_running_loop().create_task(self._run(consumer), name="project registry")
        # The task closes the consumer, but a task that is cancelled before its first step never runs.
        await asyncio.sleep(0)

    def find_and_record_use(self, token: str) -> Grant | None:
        """Return what a valid *token* permits and record its use."""
        return self._table.find_and_record_use(token, time.time_ns() // 1000)

    def pop_unrecorded_uses(self, day: str) -> list[str]:
        """Return the digests of tokens used here since the last call whose use on *day* is not recorded."""
        return self._table.pop_unrecorded_uses(day)

    @property
    def table(self) -> ProjectTable:
        """The projects and tokens as they are now. A reload replaces the table."""
        return self._table

    def deployment(self) -> Deployment | None:
        """Return the record of the deployment, None if there is none."""
        return self._table.deployments.get(VERSION)

    def check(self) -> None:
        """Raise `UnavailableError` while the consumer is disconnected."""
        if not self._is_current:
            raise UnavailableError("Project registry is stale: the `projects.v1` consumer is disconnected.")

    async def close(self) -> None:
        """Stop following the topic."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _load(self) -> AIOKafkaConsumer:
        """Read the whole topic, replace the table and return the consumer, positioned at the end."""
        consumer = await open_topic(self._kafka)
        try:
            self._table = await read_to_end(consumer)
        except BaseException:
            await close(consumer, timeout_seconds=CLOSE_TIMEOUT_SECONDS)
            raise
        self._is_current = True
        return consumer

    async def _run(self, loaded: AIOKafkaConsumer) -> None:
        """Follow the topic for the life of the process; after any error reload the table and follow again."""
        consumer: AIOKafkaConsumer | None = loaded
        async for attempt in AsyncRetrying(wait=_BACKOFF, before_sleep=self._log_retry):
            with attempt:
                if consumer is None:
                    async with asyncio.timeout(self._load_timeout_seconds):
                        consumer = await self._load()
                    if (attempts := self._outage.succeeded(time.monotonic())) is not None:
                        log.info(
                            "project registry reloaded, following changes again: %d attempts failed in %.0f s",
                            *(attempts.failed, attempts.seconds),
                        )
                try:
                    await self._follow(consumer)
                finally:
                    self._is_current = False
                    await close(consumer, timeout_seconds=CLOSE_TIMEOUT_SECONDS)
                    consumer = None

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        """Apply new records. Raises when the broker is unreachable or the consumer makes no progress."""
        (partition,) = consumer.assignment()
        checked_at = time.monotonic()
        lagging_at = -1
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                _apply(self._table, records)
                self._metrics.project_changes.inc(len(records))
            if time.monotonic() - checked_at < _LAG_CHECK_INTERVAL_SECONDS:
                continue
            checked_at = time.monotonic()
            async with asyncio.timeout(_LAG_CHECK_INTERVAL_SECONDS):
                end = (await consumer.end_offsets([partition]))[partition]
                position = await consumer.position(partition)
            if position < end and position == lagging_at:
                raise KafkaError(f"no records received past offset {position}, the topic ends at {end}")
            lagging_at = position if position < end else -1

    def _log_retry(self, state: RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        if error and (attempts := self._outage.failed(time.monotonic(), type(error))) is not None:
            log.warning(
                "projects consumer failed, retrying until it follows `projects.v1`: %d attempts failed in %.0f s. "
                "The last error: %s",
                *(attempts.failed, attempts.seconds, self._reason(error)),
            )

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, KafkaConnectionError):
            # Its text has the constants of sockets.
            return f"no broker at {self._kafka.bootstrap_servers} answered{certificate_fault(self._kafka)}"
        return describe(error, "READ")


async def open_topic(kafka: KafkaSettings) -> AIOKafkaConsumer:
    """Return a consumer at the beginning of the topic; `StartError` if the topic is missing."""
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
        require_topics([topic], await consumer.topics())
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
    except BaseException:
        await close(consumer, timeout_seconds=CLOSE_TIMEOUT_SECONDS)
        raise
    return consumer


async def read_to_end(consumer: AIOKafkaConsumer) -> ProjectTable:
    """Return the table of the topic up to its present end; `StartError` if the user may not read it."""
    table = ProjectTable()
    async for records in batches_to_end(consumer):
        _apply(table, records)
    return table


async def batches_to_end(consumer: AIOKafkaConsumer) -> AsyncIterator[Sequence[Any]]:
    """Yield the records of the topic up to its present end; `StartError` if the user may not read it."""
    (partition,) = consumer.assignment()
    try:
        end = (await consumer.end_offsets([partition]))[partition]
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                yield records
    except KafkaError as error:
        if (denied := denial(error, "READ")) is not None:
            raise StartError(denied) from error
        raise


def _apply(table: ProjectTable, records: Iterable[Any]) -> None:
    """Apply *records*; those that `sequence` did not write are ignored, with one line for all of them."""
    ignored: list[tuple[int, InvalidEntryError]] = []
    for record in records:
        try:
            table.apply(record.key, record.value)
        except InvalidEntryError as error:
            ignored.append((record.offset, error))
    if ignored:
        offset, reason = ignored[0]
        log.warning("ignoring %d records of `projects.v1`, the first at offset %d: %s", len(ignored), offset, reason)
