"""What every publisher promises, the fake and the real one."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from gateway.admission import MemoryBudget
from gateway.errors import UnavailableError
from gateway.kafka.publisher import KafkaPublisher, Publisher
from gateway.metrics import GatewayMetrics
from gateway.settings import KIB, GatewaySettings
from schemas.records import KeyValue, partition_for
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.fakes.kafka_proxy import KafkaProxy
from tests.fakes.publisher import MemoryPublisher

PUBLISH_TIMEOUT_SECONDS = 1.5


@dataclass
class BenchCluster:
    """A publisher, what can be read of its topic, and the switch between it and the broker."""

    publisher: Publisher
    topic: str
    read: Callable[[], Awaitable[dict[int, list[KeyValue]]]]
    cut: Callable[[], Awaitable[None]]
    restore: Callable[[], Awaitable[None]]


async def read_topic(servers: str, topic: str) -> dict[int, list[KeyValue]]:
    """Return every record of *topic* up to its present end, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(4)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: dict[int, list[KeyValue]] = {partition.partition: [] for partition in partitions}
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                for message in (await consumer.getmany(partition, timeout_ms=500)).get(partition, []):
                    assert not message.headers
                    found[partition.partition].append((message.key, message.value))
        return found
    finally:
        await consumer.stop()


@pytest.fixture
async def memory_world() -> BenchCluster:
    fake = MemoryPublisher(publish_timeout_seconds=PUBLISH_TIMEOUT_SECONDS)

    async def read() -> dict[int, list[KeyValue]]:
        return {partition: list(fake.written["t", partition]) for partition in range(4)}

    async def cut() -> None:
        fake.reachable = False

    async def restore() -> None:
        fake.reachable = True

    return BenchCluster(fake, "t", read, cut, restore)


@pytest.fixture
async def kafka_world(kafka: str, topics: Topics) -> AsyncIterator[BenchCluster]:
    proxy = KafkaProxy(kafka)
    await proxy.open()
    settings = GatewaySettings(
        kafka=KafkaSettings(bootstrap_servers=proxy.address, topic_prefix=topics.prefix),
        publish_timeout_seconds=PUBLISH_TIMEOUT_SECONDS,
        delivery_timeout_seconds=4.0,
        kafka_request_timeout_seconds=1.0,
        batch_bytes=64 * KIB,
    )
    publisher = KafkaPublisher(settings, [topics.items], GatewayMetrics(), MemoryBudget(2**30))
    await publisher.start()
    try:
        yield BenchCluster(publisher, topics.items, lambda: read_topic(kafka, topics.items), proxy.cut, proxy.open)
    finally:
        await publisher.close()
        await proxy.cut()


@pytest.fixture(params=["memory_world", pytest.param("kafka_world", marks=pytest.mark.services)])
def world(request: pytest.FixtureRequest) -> BenchCluster:
    chosen: BenchCluster = request.getfixturevalue(request.param)
    return chosen


def records(count: int, *, size: int = 20) -> list[KeyValue]:
    prefix = secrets.token_hex(4)
    return [(b"p/%s-%d" % (prefix.encode(), number), b"v" * size) for number in range(count)]


async def test_a_record_is_written_whole_to_the_partition_of_its_key(world: BenchCluster) -> None:
    record = (b"p/m-1", b'{"a":1}')

    await world.publisher.publish({world.topic: [record]})

    written = await world.read()
    assert written[partition_for(b"p/m-1", 4)] == [record]
    assert sum(map(len, written.values())) == 1


async def test_records_of_one_request_keep_their_order_in_a_partition(world: BenchCluster) -> None:
    sent = records(500)

    await world.publisher.publish({world.topic: sent})

    for partition, written in (await world.read()).items():
        assert written == [record for record in sent if partition_for(record[0], 4) == partition]


async def test_requests_at_the_same_time_are_written_once_each(world: BenchCluster) -> None:
    requests = [records(37) for _ in range(40)]

    await asyncio.gather(*(world.publisher.publish({world.topic: sent}) for sent in requests))

    written = [record[0] for partition in (await world.read()).values() for record in partition]
    assert sorted(written) == sorted(record[0] for sent in requests for record in sent)


async def test_a_request_larger_than_a_batch_is_written_whole(world: BenchCluster) -> None:
    sent = records(100, size=10 * KIB)

    await world.publisher.publish({world.topic: sent})

    assert sum(map(len, (await world.read()).values())) == 100


async def test_no_records_are_nothing_to_write(world: BenchCluster) -> None:
    await world.publisher.publish({world.topic: []})

    assert not any((await world.read()).values())


async def test_without_a_broker_records_are_not_acknowledged_in_time_and_later_ones_are(world: BenchCluster) -> None:
    await world.publisher.check()
    await world.cut()

    async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS + 1):
        with pytest.raises(UnavailableError):
            await world.publisher.publish({world.topic: records(10)})
    with pytest.raises(UnavailableError):
        await world.publisher.check()

    await world.restore()
    sent = records(10)
    async with asyncio.timeout(30):
        await until_accepted(world, sent)
    written = {record[0] for partition in (await world.read()).values() for record in partition}
    assert written >= {record[0] for record in sent}
    await world.publisher.check()


async def until_accepted(world: BenchCluster, sent: list[KeyValue]) -> None:
    while True:
        try:
            await world.publisher.publish({world.topic: sent})
        except UnavailableError:
            await asyncio.sleep(0.05)
        else:
            return


async def test_a_closed_publisher_refuses(world: BenchCluster) -> None:
    await world.publisher.close()

    with pytest.raises(UnavailableError):
        await world.publisher.publish({world.topic: records(1)})
