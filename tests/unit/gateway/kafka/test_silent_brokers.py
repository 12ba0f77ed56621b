"""Which brokers count as silent, and when others are asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.protocol.metadata import MetadataResponse_v1

from gateway.kafka.silent_brokers import LEFT_OUT_SECONDS, SILENT_SECONDS, SilentBrokers


@pytest.fixture
async def producer() -> AsyncIterator[AIOKafkaProducer]:
    """A producer that never connects, and that knows two brokers which lead a partition each."""
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    name_leaders(producer, 1, 2)
    yield producer
    await producer.stop()


def name_leaders(producer: AIOKafkaProducer, *leaders: int) -> None:
    """Give *producer* the leaders of the partitions."""
    brokers = [(number, "127.0.0.1", number, None) for number in (1, 2)]
    partitions = [(0, number, leader, [1, 2], [1, 2]) for number, leader in enumerate(leaders)]
    producer.client.cluster.update_metadata(MetadataResponse_v1(brokers, 1, [(0, "t", False, partitions)]))


class Connection:
    """A connection that can be closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def is_asking(producer: AIOKafkaProducer) -> bool:
    """Return whether the client of *producer* is to ask for metadata."""
    return producer.client._md_update_fut is not None


async def test_leader_that_does_not_acknowledge_is_silent(producer: AIOKafkaProducer) -> None:
    brokers = SilentBrokers(producer)
    began = monotonic()
    for batch, partition in (("a", 0), ("b", 1)):
        brokers.sent(batch, "t", partition)
    brokers.ended("b")

    brokers.look(began + SILENT_SECONDS - 1)
    assert (brokers.brokers(), is_asking(producer)) == ([], False)
    brokers.look(monotonic() + SILENT_SECONDS)
    assert (brokers.brokers(), is_asking(producer)) == ([1], True)


async def test_broker_is_asked_again_once_it_has_not_been_silent_for_a_while(producer: AIOKafkaProducer) -> None:
    brokers = SilentBrokers(producer)
    brokers.sent("a", "t", 0)
    began = monotonic()

    brokers.look(began + SILENT_SECONDS)
    brokers.ended("a")
    assert brokers.brokers() == [1]
    brokers.look(began + SILENT_SECONDS + LEFT_OUT_SECONDS)
    assert brokers.brokers(began + SILENT_SECONDS + LEFT_OUT_SECONDS) == []


async def test_batch_of_an_unknown_leader_makes_nobody_silent(producer: AIOKafkaProducer) -> None:
    brokers = SilentBrokers(producer)
    brokers.sent("a", "unknown", 0)
    brokers.ended("a")
    brokers.ended("never sent")
    brokers.look(monotonic() + 2 * SILENT_SECONDS)

    assert (brokers.brokers(), is_asking(producer)) == ([], False)


async def test_connection_to_a_silent_broker_is_closed_once_another_leads(producer: AIOKafkaProducer) -> None:
    """`_conns`. If it fails: find the connections of the client; closing one lets the sender send its batches again."""
    silent, other = producer.client._conns[1, "default"], producer.client._conns[2, "default"] = [
        Connection(),
        Connection(),
    ]
    brokers = SilentBrokers(producer)
    brokers.sent("a", "t", 0)
    began = monotonic()
    brokers.look(began + SILENT_SECONDS)
    assert (silent.is_closed, other.is_closed) == (False, False)

    name_leaders(producer, 2, 2)
    brokers.look(began + SILENT_SECONDS + 1)
    assert (silent.is_closed, other.is_closed) == (True, False)
    # The batch is sent to the new leader, which has its own time.
    brokers.look(began + 2 * SILENT_SECONDS)
    assert (brokers.brokers(), other.is_closed) == ([1], False)
    producer.client._conns.clear()
