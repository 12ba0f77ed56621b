"""Puts records on topics: returns when all of them are acknowledged, and says so when they are not.

`KafkaPublisher` is the real one; what any publisher promises is in the `Publisher` protocol and tested in
`tests/contracts/test_publisher.py`, which the fake one passes too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from gateway.admission import MemoryBudget
from gateway.errors import DrainingError, UnavailableError
from gateway.kafka.accumulator import DeliveryTimeouts, Linger, Outlet, PartitionBatches, PendingDelivery
from gateway.kafka.producer import RecreatingProducer
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings
from schemas.records import KeyValue, partitions_for

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """Writes records durably. Every record goes to the partition that `schemas.records` gives for its key."""

    async def start(self) -> None:
        """Connect; raise `StartError` where something is missing."""

    def publish(self, records: Mapping[str, Sequence[KeyValue]]) -> Awaitable[None]:
        """Take *records*, by topic, and return what waits until all in-sync replicas hold every one of them.

        Raises `UnavailableError` otherwise, at once or from there. Then any of the records may be written or not, also
        later: the caller sends all of them again, and readers drop the repeats.
        """

    async def check(self) -> None:
        """Return when records can be written now; raise `UnavailableError` when not."""

    async def close(self) -> None:
        """Wait a little for what is under way, refuse anything new, disconnect."""


class KafkaPublisher:
    """Publishes through one `PartitionBatches` a partition, each of which shares its batches between all requests."""

    def __init__(
        self,
        settings: GatewaySettings,
        topics: Sequence[str],
        metrics: GatewayMetrics,
        budget: MemoryBudget,
        connections: Callable[[], int] = lambda: 0,
    ) -> None:
        """*connections* tells how many may bring requests, each one at a time."""
        self._settings = settings
        self._producer = RecreatingProducer(settings, topics, metrics)
        self._budget = budget
        self._pace = Linger(connections)
        self._deadlines = DeliveryTimeouts(settings.publish_timeout_seconds)
        self._lanes: dict[str, list[PartitionBatches]] = {}
        self._closed = False
        self._silent = False

    async def start(self) -> None:
        """Connect and make a lane for every partition."""
        outlet = Outlet(self._producer.deliver, self._producer.create_batch, self._budget, self._pace)
        for topic, partitions in (await self._producer.start()).items():
            self._lanes[topic] = [PartitionBatches(topic, partition, outlet) for partition in range(partitions)]

    def publish(self, records: Mapping[str, Sequence[KeyValue]]) -> Awaitable[None]:
        """Copy *records* into the open batches, and return what waits until these are acknowledged.

        What is under way goes on when the time for it is over.
        """
        if self._closed:
            raise DrainingError
        self._budget.take(0)
        shares = [share for topic, of_topic in records.items() for share in self._shares(topic, of_topic)]
        self._refuse_while_silent([lane for lane, _ in shares])
        ticket = PendingDelivery(asyncio.get_running_loop().create_future())
        if not shares:
            ticket.future.set_result(None)
            return ticket.future
        timestamp_ms = time.time_ns() // 1_000_000
        for lane, share in shares:
            lane.add(share, ticket, timestamp_ms)
        self._deadlines.add(ticket)
        self._pace.joined()
        return ticket.future

    async def check(self) -> None:
        """Return when a broker answers and no batch is overdue."""
        self._refuse_while_silent(self._all_lanes())
        await self._producer.check()

    async def close(self) -> None:
        """Wait for the batches under way, two seconds at most, and disconnect."""
        self._closed = True
        lanes = self._all_lanes()
        try:
            async with asyncio.timeout(2.0):
                await asyncio.gather(*(lane.drain() for lane in lanes))
        except TimeoutError:
            log.warning("Kafka has not acknowledged every batch; their requests were answered 503")
        await asyncio.gather(*(lane.close() for lane in lanes))
        self._deadlines.close()
        await self._producer.close()

    def _all_lanes(self) -> list[PartitionBatches]:
        return [lane for lanes in self._lanes.values() for lane in lanes]

    def _shares(self, topic: str, records: Sequence[KeyValue]) -> list[tuple[PartitionBatches, list[KeyValue]]]:
        """Return which lane takes which of *records*."""
        lanes = self._lanes[topic]
        shares: list[list[KeyValue]] = [[] for _ in lanes]
        partitions = partitions_for([key for key, _ in records], len(lanes))
        for record, partition in zip(records, partitions, strict=True):
            shares[partition].append(record)
        return [(lane, share) for lane, share in zip(lanes, shares, strict=True) if share]

    def _refuse_while_silent(self, lanes: Iterable[PartitionBatches]) -> None:
        """Refuse at once while a batch is overdue: what cannot be written must not pile up, or be written twice."""
        limit = self._settings.publish_timeout_seconds
        if any(lane.is_overdue(limit) for lane in lanes):
            if not self._silent:
                self._silent = True
                log.warning("Kafka does not acknowledge: requests get 503")
            raise UnavailableError("Kafka does not acknowledge anything at the moment. Send the request again later.")
        if self._silent and not any(lane.is_overdue(limit) for lane in self._all_lanes()):
            self._silent = False
            log.info("Kafka acknowledges again")
