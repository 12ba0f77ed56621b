"""A publisher that cannot start says what is missing: the topics, or the broker."""

from __future__ import annotations

import pytest

from gateway.admission import MemoryBudget
from gateway.errors import StartError
from gateway.kafka.publisher import KafkaPublisher
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings
from schemas.settings import KafkaSettings


async def test_start_without_topics_fails_and_names_them(kafka: str, topic_prefix: str) -> None:
    settings = GatewaySettings(kafka=KafkaSettings(bootstrap_servers=kafka, topic_prefix=topic_prefix))
    missing = f"{topic_prefix}.items.v1"
    publisher = KafkaPublisher(settings, [missing], GatewayMetrics(), MemoryBudget(1))

    with pytest.raises(StartError, match=missing):
        await publisher.start()

    await publisher.close()


async def test_start_without_a_broker_fails_and_names_the_setting(unused_tcp_port: int) -> None:
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{unused_tcp_port}")
    settings = GatewaySettings(kafka=kafka, start_timeout_seconds=1.0)
    publisher = KafkaPublisher(settings, ["t"], GatewayMetrics(), MemoryBudget(1))

    with pytest.raises(StartError, match="SEQUENCE_KAFKA_SERVERS"):
        await publisher.start()

    await publisher.close()
