"""The publisher on a real broker that becomes unreachable, loses its leaders, or rejects a batch permanently.

Each fault has a control: with the mechanism disabled, the same fault leaves the publisher unusable.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from gateway.admission import MemoryBudget
from gateway.errors import OverloadedError, PublishError, UnavailableError
from gateway.kafka.producer import RecreatingProducer
from gateway.kafka.publisher import KafkaPublisher
from gateway.metrics import GatewayMetrics
from gateway.settings import KIB, GatewaySettings
from schemas.records import KeyValue, partition_for
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.contracts.test_publisher import read_topic
from tests.fakes.kafka_proxy import KafkaProxy

REQUEST_TIMEOUT_SECONDS = 1.0
DELIVERY_TIMEOUT_SECONDS = 3.0


@dataclass
class Rig:
    """A publisher behind a proxy."""

    publisher: KafkaPublisher
    proxy: KafkaProxy
    metrics: GatewayMetrics
    budget: MemoryBudget
    servers: str
    topic: str

    async def publish(self, *records: KeyValue) -> None:
        await self.publisher.publish({self.topic: records})

    async def recover(self, within_seconds: float) -> list[KeyValue]:
        """Publish to every partition until that is acknowledged; return what was published."""
        sent = spread()
        async with asyncio.timeout(within_seconds):
            while True:
                try:
                    await self.publish(*sent)
                except UnavailableError:
                    await asyncio.sleep(0.05)
                else:
                    return sent

    async def keys(self) -> list[bytes]:
        return [record[0] for records in (await read_topic(self.servers, self.topic)).values() for record in records]

    def replaced(self) -> float:
        value = self.metrics.registry.get_sample_value("sequence_gateway_producers_replaced_total")
        assert value is not None
        return value


def spread(count: int = 40, size: int = 10) -> list[KeyValue]:
    prefix = secrets.token_hex(4)
    return [(f"p/{prefix}-{number}".encode(), b"v" * size) for number in range(count)]


@asynccontextmanager
async def running(kafka: str, topics: Topics, **changes: Any) -> AsyncIterator[Rig]:
    proxy = KafkaProxy(kafka)
    await proxy.open()
    settings = GatewaySettings(
        kafka=KafkaSettings(bootstrap_servers=proxy.address, topic_prefix=topics.prefix),
        kafka_request_timeout_seconds=REQUEST_TIMEOUT_SECONDS,
        delivery_timeout_seconds=DELIVERY_TIMEOUT_SECONDS,
        publish_timeout_seconds=1.0,
        start_timeout_seconds=10.0,
        batch_bytes=64 * KIB,
    )
    metrics, budget = GatewayMetrics(), MemoryBudget(int(changes.pop("in_flight_limit_bytes", 2**30)))
    publisher = KafkaPublisher(replace(settings, **changes), [topics.items, topics.rejected], metrics, budget)
    await publisher.start()
    try:
        yield Rig(publisher, proxy, metrics, budget, kafka, topics.items)
    finally:
        await publisher.close()
        await proxy.cut()


async def limit_records(kafka: str, topic: str, limit_bytes: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        configs = {"max.message.bytes": str(limit_bytes), "message.timestamp.type": "LogAppendTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
    finally:
        await admin.close()


async def test_publisher_recovers_from_an_outage_longer_than_every_timeout(kafka: str, topics: Topics) -> None:
    async with running(kafka, topics) as rig:
        first = await rig.recover(5)
        await rig.proxy.cut()
        with pytest.raises(UnavailableError):
            await rig.publish(*spread())
        async with asyncio.timeout(15):
            while not rig.replaced():  # noqa: ASYNC110  # an outage has no event for its length
                await asyncio.sleep(0.05)

        await rig.proxy.open()

        last = await rig.recover(15)
        keys = await rig.keys()
        assert {record[0] for record in first + last} <= set(keys)
        assert rig.budget.reserved_bytes == 0


async def test_acknowledgement_measures_the_clock_of_the_broker(kafka: str, topics: Topics) -> None:
    async with running(kafka, topics) as rig:
        await rig.recover(5)
        value = rig.metrics.registry.get_sample_value("sequence_gateway_broker_clock_offset_seconds")

    assert value is not None
    assert abs(value) < 1.0


async def test_outage_rejects_requests_immediately_and_holds_no_memory(
    kafka: str, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    async with running(kafka, topics, delivery_timeout_seconds=30.0) as rig:
        await rig.recover(5)
        rig.proxy.withhold()
        with pytest.raises(PublishError):
            await rig.publish(*spread())
        held = rig.budget.reserved_bytes

        async with asyncio.timeout(1.0):
            for _ in range(200):
                with pytest.raises(UnavailableError):
                    await rig.publish(*spread())

        assert rig.budget.reserved_bytes == held
        rig.proxy.resume()
        await rig.recover(15)
        logged = [message for message in caplog.messages if message.startswith("Kafka ")]
        assert logged[0] == "Kafka stalled: no acknowledgement for 1 s, rejecting requests with 503"
        assert re.fullmatch(r"Kafka recovered after [0-9.]+ s", logged[1])
        assert len(logged) == 2


async def test_batch_without_a_leader_replaces_the_producer_and_keeps_the_partition(kafka: str, topics: Topics) -> None:
    async with running(kafka, topics) as rig:
        await rig.recover(5)

        await lose_leaders(rig)

        sent = await rig.recover(15)
        assert rig.replaced() >= 1
        assert {record[0] for record in sent} <= set(await rig.keys())


async def test_control_without_replacement_a_batch_without_a_leader_stops_its_partition(
    kafka: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecreatingProducer, "_replace", lambda *_: None)
    async with running(kafka, topics) as rig:
        await rig.recover(5)

        await lose_leaders(rig)

        with pytest.raises(TimeoutError):
            await rig.recover(6)


async def lose_leaders(rig: Rig) -> None:
    """Hide the leaders until a batch has failed without one."""
    rig.proxy.hides_leaders = True
    await rig.publisher._producer._producer.client.force_metadata_update()  # type: ignore[union-attr]
    with pytest.raises(UnavailableError):
        await rig.publish(*spread())
    async with asyncio.timeout(10):
        while not failed_batches(rig):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    rig.proxy.hides_leaders = False


def failed_batches(rig: Rig) -> float:
    labels = {"topic": rig.topic}
    return rig.metrics.registry.get_sample_value("sequence_gateway_failed_batches_total", labels) or 0


async def reject_one(rig: Rig) -> KeyValue:
    """Publish oversized records until the broker applies the limit; return the record that it rejected."""
    async with asyncio.timeout(10):
        while True:
            large = (f"p/large-{secrets.token_hex(4)}".encode(), b"v" * 3000)
            try:
                await rig.publish(large)
            except PublishError:
                return large


async def test_batch_rejected_permanently_fails_alone(kafka: str, topics: Topics) -> None:
    await limit_records(kafka, topics.items, 2000)
    async with running(kafka, topics) as rig:
        rejected = await reject_one(rig)

        sent = await rig.recover(15)
        keys = await rig.keys()
        assert rejected[0] not in keys
        assert {record[0] for record in sent} <= set(keys)
        assert rig.replaced() >= 1


async def test_control_without_replacement_a_rejected_batch_stops_its_partition(
    kafka: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecreatingProducer, "_replace", lambda *_: None)
    await limit_records(kafka, topics.items, 2000)
    async with running(kafka, topics) as rig:
        await rig.recover(5)
        rejected = await reject_one(rig)

        same_partition = [record for record in spread() if partition_for(record[0], 4) == partition_for(rejected[0], 4)]
        for record in same_partition[:3]:
            with pytest.raises(PublishError):
                await rig.publish(record)


async def test_producer_whose_sender_task_ended_is_replaced(kafka: str, topics: Topics) -> None:
    async with running(kafka, topics) as rig:
        await rig.recover(5)
        producer = rig.publisher._producer._producer
        assert producer is not None

        producer._sender.sender_task.cancel()

        await rig.recover(10)
        assert rig.replaced() == 1


async def test_bytes_in_flight_are_bounded_and_released(kafka: str, topics: Topics) -> None:
    limit = 256 * KIB
    async with running(kafka, topics, in_flight_limit_bytes=limit, publish_timeout_seconds=5.0) as rig:
        await rig.recover(5)
        rig.proxy.withhold()
        request = spread(count=40, size=KIB)
        requests = [asyncio.create_task(rig.publish(*request)) for _ in range(20)]
        done, waiting = await asyncio.wait(requests, timeout=0.2)

        assert done
        assert all(isinstance(task.exception(), OverloadedError) for task in done)
        assert limit < rig.budget.reserved_bytes < 2 * limit

        rig.proxy.resume()
        await asyncio.gather(*waiting)
        assert rig.budget.reserved_bytes == 0
        keys = await rig.keys()
        assert [keys.count(record[0]) for record in request] == [len(waiting)] * len(request)


async def test_request_is_acknowledged_after_its_records_are_durable(kafka: str, topics: Topics) -> None:
    async with running(kafka, topics, publish_timeout_seconds=5.0) as rig:
        await rig.recover(5)
        rig.proxy.withhold()
        sent = spread()
        references = [sys.getrefcount(value) for _, value in sent]
        request = asyncio.ensure_future(rig.publisher.publish({rig.topic: sent}))
        await asyncio.wait([request], timeout=0.3)
        assert not request.done()
        assert [sys.getrefcount(value) for _, value in sent] == references, "only the batches hold the records"

        rig.proxy.resume()

        await request
