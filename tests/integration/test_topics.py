"""`sequence topics apply` on a real broker: topics are created once and checked afterwards."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.errors import TopicsError
from deploy.topics import apply
from schemas.settings import DedupeSettings, KafkaSettings, TopicSettings
from schemas.topics import DAY_MS, Topics


@pytest.fixture
def settings(kafka: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"topics-{secrets.token_hex(4)}")


async def configs(settings: KafkaSettings, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    finally:
        await admin.close()
    return {entry[0]: entry[1] for entry in response.resources[0][4]}


async def create(settings: KafkaSettings, topic: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([topic])
    finally:
        await admin.close()


async def test_first_apply_creates_every_topic_and_the_second_none(settings: KafkaSettings) -> None:
    names = Topics(settings.topic_prefix)

    created = await apply(settings, TopicSettings(partitions=2))

    assert set(created) == {
        names.items,
        names.events,
        names.duplicates,
        names.identifies,
        names.persons,
        names.rejected,
        names.projects,
    }
    assert await apply(settings, TopicSettings(partitions=2)) == []


async def test_topics_have_their_declared_settings(settings: KafkaSettings) -> None:
    names = Topics(settings.topic_prefix)
    await apply(settings, TopicSettings(partitions=1, dedupe=DedupeSettings(30.0)))

    items, events, persons = [await configs(settings, name) for name in (names.items, names.events, names.persons)]

    assert items["message.timestamp.type"] == "LogAppendTime"
    assert items["min.insync.replicas"] == "1"
    assert events["retention.ms"] == str(32 * DAY_MS)
    assert persons["cleanup.policy"] == "compact"


async def test_different_partition_count_is_rejected_with_both_counts(settings: KafkaSettings) -> None:
    await apply(settings, TopicSettings(partitions=1))

    with pytest.raises(TopicsError, match=r"events\.v1 has 1 partition but SEQUENCE_PARTITIONS=3"):
        await apply(settings, TopicSettings(partitions=3))


async def test_topic_with_producer_timestamps_gets_those_of_the_broker(settings: KafkaSettings) -> None:
    items = Topics(settings.topic_prefix).items
    await create(settings, NewTopic(items, 1, 1, topic_configs={"message.timestamp.type": "CreateTime"}))

    assert items in await apply(settings, TopicSettings(partitions=1))

    assert (await configs(settings, items))["message.timestamp.type"] == "LogAppendTime"


async def test_clock_of_a_producer_makes_no_record_unacceptable(settings: KafkaSettings) -> None:
    names = Topics(settings.topic_prefix)
    await apply(settings, TopicSettings(partitions=1))
    declared = names.declare(partitions=1, items_retention_days=7, dedupe_window_days=7)
    next_year_ms = time.time_ns() // 1_000_000 + 365 * DAY_MS

    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        for topic in declared:
            written = await producer.send_and_wait(topic.name, b"{}", key=b"k", timestamp_ms=next_year_ms)
            assert written.timestamp < next_year_ms - DAY_MS, topic.name


async def test_longer_window_extends_retention_and_keeps_other_settings(settings: KafkaSettings) -> None:
    names = Topics(settings.topic_prefix)
    await create(settings, NewTopic(names.events, 1, 1, topic_configs={"segment.bytes": "1048576"}))
    short = TopicSettings(partitions=1)
    await apply(settings, short)

    changed = await apply(settings, replace(short, dedupe=DedupeSettings(60.0)))

    events = await configs(settings, names.events)
    assert changed == [names.events, names.duplicates]
    assert events["retention.ms"] == str(62 * DAY_MS)
    assert events["segment.bytes"] == "1048576"


async def test_more_replicas_than_brokers_are_rejected_by_kafka(settings: KafkaSettings) -> None:
    with pytest.raises(TopicsError, match=r"items\.v1 with 1 partition and SEQUENCE_REPLICATION_FACTOR=9: .*eplicat"):
        await apply(settings, TopicSettings(partitions=1, replication_factor=9))


async def test_unreachable_broker_is_named_with_its_setting() -> None:
    with pytest.raises(TopicsError, match=r"127\.0\.0\.1:1 is unreachable.*SEQUENCE_KAFKA_SERVERS"):
        await apply(KafkaSettings(bootstrap_servers="127.0.0.1:1"), TopicSettings())
