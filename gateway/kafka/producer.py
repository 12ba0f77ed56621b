"""An aiokafka producer that is replaced when it can no longer be relied upon.

An idempotent producer numbers the batches of a partition before it sends them. A batch that fails for good leaves a gap
in the numbers, and the broker refuses every later batch of that partition; a sender task that ended sends nothing any
more. aiokafka does not recover from either, so any failure for good means a new producer, with a new identity.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gateway.errors import PublishError, StartError, UnavailableError, describe
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings
from schemas.settings import kafka_arguments

log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


class RecreatingProducer:
    """Delivers batches through one producer after another; every batch that is acknowledged is so by all replicas."""

    def __init__(self, settings: GatewaySettings, topics: Collection[str], metrics: GatewayMetrics) -> None:
        self._settings = settings
        self._topics = topics
        self._metrics = metrics
        self._producer: AIOKafkaProducer | None = None
        self._ready = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._create_batch: Any = None
        self._batches = {topic: metrics.published_batches.labels(topic) for topic in topics}
        self._records = {topic: metrics.published_records.labels(topic) for topic in topics}

    async def start(self) -> Mapping[str, int]:
        """Connect and return the number of partitions of every topic; `StartError` says what is missing."""
        limit = self._settings.start_timeout_seconds
        try:
            async with asyncio.timeout(limit):
                return await self._connect(retried=(KafkaError, OSError))
        except TimeoutError:
            servers = self._settings.kafka.bootstrap_servers
            raise StartError(
                f"Kafka at {servers} (SEQUENCE_KAFKA_SERVERS) was not reached within {limit:g} s"
            ) from None

    def create_batch(self) -> Any:
        """Return an empty batch. It belongs to no producer before it is sent, so a replaced one's is as good."""
        return self._create_batch()

    async def deliver(self, batch: Any, topic: str, partition: int) -> None:
        """Return when *batch* is acknowledged by all in-sync replicas; raise `PublishError` when it was given up."""
        producer: AIOKafkaProducer | None = None
        records = batch.record_count()
        try:
            async with asyncio.timeout(self._settings.delivery_timeout_seconds):
                await self._ready.wait()
                producer = self._producer
                delivery = await producer.send_batch(batch, topic, partition=partition)  # type: ignore[union-attr]  # set while ready
                await delivery
        except Exception as error:  # whatever aiokafka raises, this batch was not acknowledged
            self._metrics.failed_batches.labels(topic).inc()
            self._retire(producer, error)
            raise PublishError from error
        self._batches[topic].inc()
        self._records[topic].inc(records)

    async def check(self) -> None:
        """Return when a broker answers; raise `UnavailableError` when there is no producer or no answer."""
        if self._producer is None:
            raise UnavailableError("The connection to Kafka is being made anew.")
        try:
            await self._producer.client.fetch_all_metadata()
        except (KafkaError, OSError) as error:
            raise UnavailableError("Kafka cannot be reached.") from error

    async def close(self) -> None:
        """Let go of the producer; batches that are still under way fail."""
        self._closing = True
        producer, self._producer = self._producer, None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if producer is not None:
            await _dispose(producer, patience_seconds=0.5)

    async def _connect(self, retried: tuple[type[Exception], ...]) -> Mapping[str, int]:
        """Make a producer that works, trying again after the errors in *retried*; return the partitions by topic."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._connect_once()
            except retried as error:
                log.warning("Kafka cannot be used, trying again in %.1f s: %s", pause, describe(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _connect_once(self) -> Mapping[str, int]:
        producer = self._make()
        try:
            await producer.start()
            partitions = await self._partitions(producer)
        except BaseException:
            await _dispose(producer, patience_seconds=1.0)
            raise
        # The only sign of a producer that has stopped sending.
        producer._sender.sender_task.add_done_callback(lambda _: self._retire(producer, None))  # noqa: SLF001
        self._create_batch = producer.create_batch
        self._producer = producer
        self._ready.set()
        return partitions

    def _make(self) -> AIOKafkaProducer:
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
        """Return the number of partitions by topic. Asking for all topics never makes one, unlike asking by name."""
        metadata = await producer.client.fetch_all_metadata()
        partitions = {topic: len(metadata.partitions_for_topic(topic) or ()) for topic in self._topics}
        missing = [topic for topic, count in partitions.items() if not count]
        if missing:
            raise StartError(f"topics are missing: {', '.join(missing)}; make them with `sequence topics apply`")
        for topic in self._topics:
            await producer.partitions_for(topic)
        return partitions

    def _retire(self, producer: AIOKafkaProducer | None, error: BaseException | None) -> None:
        """Replace *producer*, unless that is done already. What it has under way may still be acknowledged."""
        if producer is None or producer is not self._producer or self._closing:
            return
        self._producer = None
        self._ready.clear()
        self._metrics.producers_replaced.inc()
        log.warning("replacing the Kafka producer: %s", describe(error) if error else "its sender has ended")
        self._spawn(_dispose(producer, patience_seconds=self._settings.delivery_timeout_seconds))
        self._spawn(self._replace())

    async def _replace(self) -> None:
        await self._connect(retried=(KafkaError, OSError, StartError))
        log.info("the Kafka producer is replaced")

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _dispose(producer: AIOKafkaProducer, *, patience_seconds: float) -> None:
    """Stop *producer*, giving what it has under way *patience_seconds*; then fail that.

    aiokafka's own `stop` waits for as long as the broker is away, and leaves its connections open when it is cancelled.
    """
    stopping = asyncio.ensure_future(producer.stop())
    try:
        await asyncio.wait([stopping], timeout=patience_seconds)
    finally:
        _fail_the_rest(producer._message_accumulator)  # noqa: SLF001
        if not stopping.done() or stopping.cancelled() or stopping.exception() is not None:
            stopped = asyncio.gather(stopping, producer._sender.close(), return_exceptions=True)  # noqa: SLF001
            await asyncio.wait([stopped], timeout=1.0)
            await producer.client.close()


def _fail_the_rest(accumulator: Any) -> None:
    """Fail every batch that is not settled: a producer whose sender has ended would never do so."""
    batches = [*accumulator._pending_batches, *chain.from_iterable(accumulator._batches.values())]  # noqa: SLF001
    accumulator.fail_all(KafkaError("the producer was given up"))
    for future in chain.from_iterable((batch.future, batch._drain_waiter) for batch in batches):  # noqa: SLF001
        # Where nobody waits for it any more, asyncio would complain at length that nobody has asked.
        if future.done() and not future.cancelled():
            future.exception()
