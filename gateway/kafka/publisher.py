"""Publishes records to Kafka and reports whether all of them are acknowledged.

`Publisher` is the contract, `KafkaPublisher` the implementation. `tests/contracts/test_publisher.py` checks it and the
in-memory fake against the same tests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from gateway.admission import MemoryBudget
from gateway.disk import Answer
from gateway.errors import DrainingError, UnavailableError
from gateway.kafka.accumulator import DeliveryTimeouts, PartitionBatches, PendingDelivery
from gateway.kafka.linger import Linger
from gateway.kafka.partitions import Partitions
from gateway.kafka.producer import RecreatingProducer
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings
from schemas.records import KeyValue, partition_for, partitions_for

log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_SECONDS = 2.0


class Publisher(Protocol):
    """Writes records durably, each to the partition that `schemas.records` assigns to its key."""

    async def start(self) -> None:
        """Connect; raise `StartError` if something is missing."""

    def publish(self, records: Mapping[str, Sequence[KeyValue]]) -> asyncio.Future[None]:
        """Accept *records*, by topic; the future completes when all in-sync replicas hold every one of them.

        Raises `UnavailableError` otherwise, at once or from the future. Any of the records may then be written, even
        later: the caller sends all of them again, and dedupe drops the duplicates.
        """

    async def check(self) -> None:
        """Return if records can be written now; raise `UnavailableError` otherwise."""

    async def disks(self) -> Sequence[Answer]:
        """Return what each broker tells about its disk; nothing while no broker is known."""

    async def close(self) -> None:
        """Reject new records, wait briefly for batches in flight, and disconnect."""


class KafkaPublisher:
    """Publishes through one `PartitionBatches` per partition. Requests share the batches of a partition."""

    def __init__(
        self,
        settings: GatewaySettings,
        topics: Sequence[str],
        metrics: GatewayMetrics,
        budget: MemoryBudget,
        expected: Partitions | None = None,
    ) -> None:
        self._timeout_seconds = settings.publish_timeout_seconds
        self._producer = RecreatingProducer(settings, topics, metrics, expected)
        self._budget = budget
        self._linger = Linger()
        self._timeouts = DeliveryTimeouts(settings.publish_timeout_seconds)
        self._partitions: dict[str, list[PartitionBatches]] = {}
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._stalled_at: float | None = None

    async def start(self) -> None:
        """Connect and open an accumulator for every partition. Partitions that are added later get no records."""
        for topic, count in (await self._producer.start()).items():
            self._partitions[topic] = [
                PartitionBatches(
                    topic,
                    partition,
                    deliver=self._producer.deliver,
                    create_batch=self._producer.create_batch,
                    budget=self._budget,
                    linger=self._linger,
                )
                for partition in range(count)
            ]

    def publish(self, records: Mapping[str, Sequence[KeyValue]]) -> asyncio.Future[None]:
        """Copy *records* into the open batches; the future completes when these are acknowledged.

        After the publish timeout the future fails, and the batches stay in flight.
        """
        if self._closed:
            raise DrainingError
        self._budget.check()
        shares = [share for topic, of_topic in records.items() for share in self._by_partition(topic, of_topic)]
        self._fail_fast_if_stalled([batches for batches, _ in shares])
        delivery = PendingDelivery(self._loop.create_future())
        if not shares:
            delivery.future.set_result(None)
            return delivery.future
        timestamp_ms = time.time_ns() // 1_000_000
        for batches, share in shares:
            batches.add(share, delivery, timestamp_ms)
        self._timeouts.add(delivery)
        return delivery.future

    async def check(self) -> None:
        """Return if a broker answers and no batch is stalled; raise `UnavailableError` otherwise."""
        self._fail_fast_if_stalled(self._all_partitions())
        await self._producer.check()

    async def disks(self) -> Sequence[Answer]:
        """Return what each broker tells about its disk; nothing while the producer is replaced."""
        return await self._producer.disks()

    async def close(self) -> None:
        """Wait at most two seconds for batches in flight and disconnect."""
        self._closed = True
        partitions = self._all_partitions()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_SECONDS):
                await asyncio.gather(*(batches.drain() for batches in partitions))
        except TimeoutError:
            log.warning("closing with unacknowledged batches; their requests were answered with 503")
        await asyncio.gather(*(batches.close() for batches in partitions))
        self._timeouts.close()
        await self._producer.close()

    def _all_partitions(self) -> list[PartitionBatches]:
        return [batches for partitions in self._partitions.values() for batches in partitions]

    def _by_partition(
        self, topic: str, records: Sequence[KeyValue]
    ) -> list[tuple[PartitionBatches, Sequence[KeyValue]]]:
        """Return *records* grouped by the partition of their keys."""
        partitions = self._partitions[topic]
        if len(records) == 1:  # as below, faster
            return [(partitions[partition_for(records[0][0], len(partitions))], records)]
        shares: list[list[KeyValue]] = [[] for _ in partitions]
        numbers = partitions_for([key for key, _ in records], len(partitions))
        for record, number in zip(records, numbers, strict=True):
            shares[number].append(record)
        return [(batches, share) for batches, share in zip(partitions, shares, strict=True) if share]

    def _fail_fast_if_stalled(self, partitions: Iterable[PartitionBatches]) -> None:
        """Circuit breaker: raise `UnavailableError` while a batch of *partitions* is stalled.

        Records that cannot be written must not pile up in memory, nor be written twice once Kafka recovers.
        """
        if any(batches.is_stalled(self._timeout_seconds) for batches in partitions):
            if self._stalled_at is None:
                self._stalled_at = time.monotonic()
                log.warning(
                    "Kafka stalled: no acknowledgement for %g s, rejecting requests with 503", self._timeout_seconds
                )
            raise UnavailableError("Kafka is not acknowledging writes. Send the request again later.")
        if self._stalled_at is None or any(
            batches.is_stalled(self._timeout_seconds) for batches in self._all_partitions()
        ):
            return
        log.info("Kafka recovered after %.1f s", time.monotonic() - self._stalled_at + self._timeout_seconds)
        self._stalled_at = None
