"""An aiokafka producer that is recreated after any permanent failure.

An idempotent producer numbers the batches of a partition before it sends them. A batch that fails permanently leaves a
gap in the sequence, and the broker rejects every later batch of that partition. A producer whose sender task has ended
sends nothing. aiokafka recovers from neither; a new producer has a new identity and a new sequence.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from gateway.disk import Answer
from gateway.errors import PublishError, StartError, UnavailableError, describe
from gateway.kafka import log_directories
from gateway.kafka.aiokafka_private import close, sender_task
from gateway.kafka.partitions import Partitions
from gateway.kafka.silent_brokers import LOOK_SECONDS, SilentBrokers
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings
from schemas.denials import denial
from schemas.log_throttle import Outage
from schemas.settings import certificate_fault, kafka_arguments
from schemas.topics import Topics

log = logging.getLogger(__name__)

_BACKOFF = wait_exponential(multiplier=0.2, max=2.0)


class RecreatingProducer:
    """Delivers batches through one producer at a time. Every acknowledged batch is on all in-sync replicas."""

    def __init__(
        self,
        settings: GatewaySettings,
        topics: Collection[str],
        metrics: GatewayMetrics,
        expected: Partitions | None = None,
    ) -> None:
        self._settings = settings
        self._expected = expected
        self._topics = topics
        self._watched: Mapping[str, int] = {}
        self._metrics = metrics
        self._producer: AIOKafkaProducer | None = None
        self._brokers: SilentBrokers | None = None
        self._ready = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._outage = Outage()
        self._create_batch: Any = None
        self._batches = {topic: metrics.published_batches.labels(topic) for topic in topics}
        self._records = {topic: metrics.published_records.labels(topic) for topic in topics}
        self._failed = {topic: metrics.failed_batches.labels(topic) for topic in topics}

    async def start(self) -> Mapping[str, int]:
        """Connect and return the number of partitions of each topic; `StartError` says what is missing."""
        limit = self._settings.start_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                counts = await self._connect(retry_on=(KafkaError, OSError))
        except TimeoutError:
            kafka = self._settings.kafka
            raise StartError(
                f"Could not connect to Kafka at {kafka.bootstrap_servers} within {limit:g} s"
                f"{certificate_fault(kafka)}. Check SEQUENCE_KAFKA_SERVERS."
            ) from None
        if self._expected is not None:
            self._expected.require(counts)
        self._spawn(self._look_for_silent_brokers())
        return counts

    def create_batch(self) -> Any:
        """Return an empty batch. It belongs to no producer until it is sent, so it may outlive its creator."""
        return self._create_batch()

    async def deliver(self, batch: Any, topic: str, partition: int) -> None:
        """Return when all in-sync replicas have acknowledged *batch*; raise `PublishError` if delivery fails."""
        producer: AIOKafkaProducer | None = None
        brokers: SilentBrokers | None = None
        records = batch.record_count()
        try:
            async with asyncio.timeout(self._settings.delivery_timeout_seconds):
                await self._ready.wait()
                producer, brokers, sent_at = self._producer, self._brokers, time.time()
                brokers.sent(batch, topic, partition)  # type: ignore[union-attr]  # set while ready
                delivery = await producer.send_batch(batch, topic, partition=partition)  # type: ignore[union-attr]  # set while ready
                acknowledged = await delivery
        except Exception as error:  # whatever aiokafka raises, this batch was not acknowledged
            self._failed[topic].inc()
            self._replace(producer, error)
            raise PublishError from error
        finally:
            if brokers is not None:
                brokers.ended(batch)
        self._metrics.clock.observe(acknowledged.timestamp, sent_at, time.time())
        self._batches[topic].inc()
        self._records[topic].inc(records)

    async def check(self) -> None:
        """Return when a broker answers; raise `UnavailableError` without a producer or an answer."""
        if self._producer is None:
            raise UnavailableError("The gateway is reconnecting to Kafka. Send the request again later.")
        try:
            metadata = await self._producer.client.fetch_all_metadata()
        except (KafkaError, OSError) as error:
            raise UnavailableError("Kafka is unreachable. Send the request again later.") from error
        if self._expected is not None:
            self._expected.warn_if_changed(self._counts(metadata))

    async def disks(self) -> Sequence[Answer]:
        """Return what each broker tells about its disk; nothing without a producer."""
        if self._producer is None:
            return []
        return await log_directories.ask(self._producer.client, self._watched)

    async def close(self) -> None:
        """Close the producer; batches in flight fail."""
        self._closing = True
        producer, self._producer = self._producer, None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if producer is not None:
            await close(producer, timeout_seconds=0.5)

    async def _connect(self, retry_on: tuple[type[Exception], ...]) -> Mapping[str, int]:
        """Start a producer, retrying after the errors in *retry_on*; return the number of partitions by topic."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(retry_on), wait=_BACKOFF, before_sleep=self._log_retry, reraise=True
        )
        partitions: Mapping[str, int] = await retrying(self._connect_once)
        if (attempts := self._outage.succeeded(monotonic())) is not None:
            log.info("connected to Kafka: %d attempts failed in %.0f s", attempts.failed, attempts.seconds)
        return partitions

    def _log_retry(self, state: RetryCallState) -> None:
        error = state.outcome and state.outcome.exception()
        if error and (attempts := self._outage.failed(monotonic(), type(error))) is not None:
            log.warning(
                "cannot connect to Kafka at %s, retrying until it answers: %d attempts failed in %.0f s. "
                "The last error: %s",
                *(self._settings.kafka.bootstrap_servers, attempts.failed, attempts.seconds, describe(error)),
            )

    async def _connect_once(self) -> Mapping[str, int]:
        producer = self._new_producer()
        brokers = SilentBrokers(producer)
        try:
            await producer.start()
            partitions = await self._partitions(producer)
        except BaseException as error:
            await close(producer, timeout_seconds=1.0)
            if (denied := denial(error, "WRITE")) is not None:
                raise StartError(denied) from error
            raise
        self._brokers = brokers
        # The only sign of a producer that has stopped sending.
        sender_task(producer).add_done_callback(lambda _: self._replace(producer, None))
        self._create_batch = producer.create_batch
        # Workers write to the others, with as many partitions.
        every = Topics(self._settings.kafka.topic_prefix).every
        self._watched = dict.fromkeys((*every, *partitions), max(partitions.values()))
        self._producer = producer
        self._ready.set()
        return partitions

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **kafka_arguments(self._settings.kafka),
            client_id="sequence-gateway",
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=self._settings.batch_bytes,
            request_timeout_ms=round(self._settings.kafka_request_timeout_seconds * 1000),
        )

    async def _partitions(self, producer: AIOKafkaProducer) -> dict[str, int]:
        """Return the number of partitions by topic. Metadata of all topics never creates one, a request by name can."""
        partitions = self._counts(await producer.client.fetch_all_metadata())
        require_topics(self._topics, [topic for topic, count in partitions.items() if count])
        for topic in self._topics:
            await producer.partitions_for(topic)
        return partitions

    def _counts(self, metadata: Any) -> dict[str, int]:
        return {topic: len(metadata.partitions_for_topic(topic) or ()) for topic in self._topics}

    async def _look_for_silent_brokers(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._brokers is not None:
                self._brokers.look(monotonic())

    def _replace(self, producer: AIOKafkaProducer | None, error: BaseException | None) -> None:
        """Replace *producer*, unless that has happened. Its batches in flight may still be acknowledged."""
        if producer is None or producer is not self._producer or self._closing:
            return
        self._producer = None
        self._ready.clear()
        self._metrics.producers_replaced.inc()
        log.warning("replacing the Kafka producer: %s", describe(error) if error else "its sender task ended")
        self._spawn(close(producer, timeout_seconds=self._settings.delivery_timeout_seconds))
        self._spawn(self._reconnect())

    async def _reconnect(self) -> None:
        await self._connect(retry_on=(KafkaError, OSError, StartError))
        log.info("Kafka producer replaced")

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def require_topics(topics: Iterable[str], existing: Collection[str]) -> None:
    """Raise a `StartError` that names the *topics* missing from *existing* and the command that creates them."""
    if missing := [topic for topic in topics if topic not in existing]:
        raise StartError(
            f"Topics missing: {', '.join(missing)}. Create them with `sequence topics apply`, or let this user "
            "DESCRIBE them if they exist."
        )
