"""The contract of a publisher, checked on the fake and on Kafka."""

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
class PublisherUnderTest:
    """A publisher, a reader of its topic, and a switch for the connection to the broker."""

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
async def memory_publisher() -> PublisherUnderTest:
    fake = MemoryPublisher(publish_timeout_seconds=PUBLISH_TIMEOUT_SECONDS)

    async def read() -> dict[int, list[KeyValue]]:
        return {partition: list(fake.written["t", partition]) for partition in range(4)}

    async def cut() -> None:
        fake.reachable = False

    async def restore() -> None:
        fake.reachable = True

    return PublisherUnderTest(fake, "t", read, cut, restore)


@pytest.fixture
async def kafka_publisher(kafka: str, topics: Topics) -> AsyncIterator[PublisherUnderTest]:
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
        yield PublisherUnderTest(
            publisher, topics.items, lambda: read_topic(kafka, topics.items), proxy.cut, proxy.open
        )
    finally:
        await publisher.close()
        await proxy.cut()


@pytest.fixture(params=["memory_publisher", pytest.param("kafka_publisher", marks=pytest.mark.services)])
def under_test(request: pytest.FixtureRequest) -> PublisherUnderTest:
    chosen: PublisherUnderTest = request.getfixturevalue(request.param)
    return chosen


def records(count: int, *, size: int = 20) -> list[KeyValue]:
    prefix = secrets.token_hex(4)
    return [(b"p/%s-%d" % (prefix.encode(), number), b"v" * size) for number in range(count)]


async def test_record_is_written_to_the_partition_of_its_key(under_test: PublisherUnderTest) -> None:
    record = (b"p/m-1", b'{"a":1}')

    await under_test.publisher.publish({under_test.topic: [record]})

    written = await under_test.read()
    assert written[partition_for(b"p/m-1", 4)] == [record]
    assert sum(map(len, written.values())) == 1


async def test_records_of_a_request_keep_their_order_in_a_partition(under_test: PublisherUnderTest) -> None:
    sent = records(500)

    await under_test.publisher.publish({under_test.topic: sent})

    for partition, written in (await under_test.read()).items():
        assert written == [record for record in sent if partition_for(record[0], 4) == partition]


async def test_concurrent_requests_are_written_once_each(under_test: PublisherUnderTest) -> None:
    requests = [records(37) for _ in range(40)]

    await asyncio.gather(*(under_test.publisher.publish({under_test.topic: sent}) for sent in requests))

    written = [record[0] for partition in (await under_test.read()).values() for record in partition]
    assert sorted(written) == sorted(record[0] for sent in requests for record in sent)


async def test_request_larger_than_a_batch_is_written_completely(under_test: PublisherUnderTest) -> None:
    sent = records(100, size=10 * KIB)

    await under_test.publisher.publish({under_test.topic: sent})

    assert sum(map(len, (await under_test.read()).values())) == 100


async def test_empty_request_writes_nothing(under_test: PublisherUnderTest) -> None:
    await under_test.publisher.publish({under_test.topic: []})

    assert not any((await under_test.read()).values())


async def test_outage_fails_publish_and_check_until_the_broker_returns(under_test: PublisherUnderTest) -> None:
    await under_test.publisher.check()
    await under_test.cut()

    async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS + 1):
        with pytest.raises(UnavailableError):
            await under_test.publisher.publish({under_test.topic: records(10)})
    with pytest.raises(UnavailableError):
        await under_test.publisher.check()

    await under_test.restore()
    sent = records(10)
    async with asyncio.timeout(30):
        await until_accepted(under_test, sent)
    written = {record[0] for partition in (await under_test.read()).values() for record in partition}
    assert written >= {record[0] for record in sent}
    await under_test.publisher.check()


async def until_accepted(under_test: PublisherUnderTest, sent: list[KeyValue]) -> None:
    while True:
        try:
            await under_test.publisher.publish({under_test.topic: sent})
        except UnavailableError:
            await asyncio.sleep(0.05)
        else:
            return


async def test_each_broker_answers_for_its_disk(under_test: PublisherUnderTest) -> None:
    (answer,) = await under_test.publisher.disks()

    assert (answer.broker, answer.unknown, answer.is_silent) == (1, "", False)


async def test_closed_publisher_rejects_records(under_test: PublisherUnderTest) -> None:
    await under_test.publisher.close()

    with pytest.raises(UnavailableError):
        await under_test.publisher.publish({under_test.topic: records(1)})
