"""Canaries: one test for each private name of aiokafka that the gateway uses.

A failure after an upgrade of aiokafka names the private name that changed. Read the new source of aiokafka, adapt
`gateway/kafka/aiokafka_private.py`, then run `tests/contracts/test_publisher.py` and
`tests/integration/test_gateway_publisher.py`, which check the behavior on a broker.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.metadata import MetadataResponse_v1
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from gateway.kafka.aiokafka_private import MetadataSource, append_records, close, fail_pending, sender_task
from schemas.records import KeyValue

RECORDS: list[KeyValue] = [(b"k-1", b"v-1"), (b"k-2", b"v-2"), (b"k-3", b"v-3")]
PARTITION = TopicPartition("t", 0)


def builder_with(records: list[KeyValue]) -> BatchBuilder:
    builder = BatchBuilder(16_384, 0)
    append_records(builder, records, 1_700_000_000_000)
    return builder


def built(builder: Any) -> list[tuple[int, int, bytes | None, bytes | None]]:
    """Return offset, timestamp, key and value of every record that *builder* would send."""
    builder.close()
    batch = MemoryRecords(bytes(builder._build())).next_batch()
    assert isinstance(batch, DefaultRecordBatch)
    return [(record.offset, record.timestamp, record.key, record.value) for record in batch]


def test_builder_append_and_relative_offset_write_the_records_of_the_public_method() -> None:
    """`_builder`, `_relative_offset`. If it fails: use `BatchBuilder.append`, which is slower but public."""
    fast, public = BatchBuilder(16_384, 0), BatchBuilder(16_384, 0)
    assert append_records(fast, RECORDS[:1], 1_700_000_000_000) == 1
    assert append_records(fast, RECORDS[1:], 1_700_000_000_000) == 2
    for key, value in RECORDS:
        public.append(timestamp=1_700_000_000_000, key=key, value=value)

    assert fast.record_count() == public.record_count() == 3
    assert built(fast) == built(public)


def test_builder_append_returns_none_when_the_batch_is_full() -> None:
    """`_builder.append`. If it fails: find how a full builder reports it; only appended records may be counted."""
    builder = BatchBuilder(200, 0)

    count = append_records(builder, [(b"k", b"v" * 50)] * 10, 1_700_000_000_000)

    assert 1 <= count < 10
    assert builder.record_count() == count
    assert append_records(BatchBuilder(200, 0), [(b"k", b"v" * 1000)], 1_700_000_000_000) == 1


@pytest.fixture
async def producer() -> AsyncIterator[AIOKafkaProducer]:
    """A producer that never connects."""
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    yield producer
    await producer.stop()


async def test_sender_and_its_close_stop_the_task_that_sends(producer: AIOKafkaProducer) -> None:
    """`_sender`. If it fails: find the task that sends batches; its end is the only sign of a producer that stopped."""
    sender = producer._sender
    assert sender.sender_task is None
    sender._sender_task = asyncio.create_task(asyncio.Event().wait())

    assert sender_task(producer) is sender._sender_task
    with pytest.raises(asyncio.CancelledError):
        await sender.close()
    assert sender_task(producer).cancelled()


async def test_pending_batches_hold_what_was_sent(producer: AIOKafkaProducer) -> None:
    """`_pending_batches`. If it fails: find the batches sent but not acknowledged; their requests wait for them."""
    accumulator = producer._message_accumulator
    future = await accumulator.add_batch(builder_with(RECORDS), PARTITION, 1.0)
    accumulator._pop_batch(PARTITION)
    assert len(accumulator._pending_batches) == 1

    fail_pending(producer)

    with pytest.raises(KafkaError):
        await future


async def test_batches_hold_what_was_not_sent(producer: AIOKafkaProducer) -> None:
    """`_batches`. If it fails: find the batches that wait for the sender; their requests wait for them."""
    accumulator = producer._message_accumulator
    future = await accumulator.add_batch(builder_with(RECORDS), PARTITION, 1.0)
    assert len(accumulator._batches[PARTITION]) == 1

    fail_pending(producer)

    with pytest.raises(KafkaError):
        await future


async def test_drain_waiter_gets_the_error_of_a_failed_batch(
    producer: AIOKafkaProducer, caplog: pytest.LogCaptureFixture
) -> None:
    """`_drain_waiter`. If it fails: find which futures `fail_all` fails; asyncio logs each that nobody awaits."""
    accumulator = producer._message_accumulator
    future = await accumulator.add_batch(builder_with(RECORDS), PARTITION, 1.0)
    (batch,) = accumulator._batches[PARTITION]

    fail_pending(producer)

    assert batch._drain_waiter.done()
    with pytest.raises(KafkaError):
        await future
    accumulator._batches.clear()
    del batch, future
    gc.collect()
    assert caplog.text == ""


async def test_consumer_client_owns_the_connections() -> None:
    """`_client`. If it fails: find what owns a consumer's connections; a failed `stop` leaves them open."""
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")

    assert isinstance(consumer._client, AIOKafkaClient)
    await consumer._client.close()
    await consumer.stop()


async def test_close_closes_the_connections_of_a_client_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, closed = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1"), asyncio.Event()

    async def close_connections() -> None:
        closed.set()

    monkeypatch.setattr(consumer, "stop", asyncio.Event().wait)
    monkeypatch.setattr(consumer._client, "close", close_connections)

    await asyncio.wait_for(close(consumer, timeout_seconds=0.01), 10)

    assert closed.is_set()
    monkeypatch.undo()
    await consumer.stop()


class Cluster:
    """Three brokers, each of which names itself as the leader of the partition."""

    def __init__(self, producer: AIOKafkaProducer, *silent: int) -> None:
        self.asked: list[int] = []
        self._silent = silent
        producer.client._get_conn = self._connect
        producer.client.cluster.update_metadata(self.metadata(1))

    def metadata(self, leader: int) -> MetadataResponse_v1:
        brokers = [(number, "127.0.0.1", number, None) for number in (1, 2, 3)]
        return MetadataResponse_v1(brokers, 1, [(0, "t", False, [(0, 0, leader, [1, 2, 3], [1, 2, 3])])])

    async def _connect(self, node_id: int, **_: Any) -> Any:
        cluster = self

        class Connection:
            async def send(self, _: object) -> MetadataResponse_v1:
                cluster.asked.append(node_id)
                if node_id in cluster._silent:
                    raise TimeoutError
                return cluster.metadata(node_id)

        return Connection()


async def ask(producer: AIOKafkaProducer) -> Any:
    """Return the leader of the partition by a question of *producer*."""
    await producer.client._metadata_update(producer.client.cluster, ["t"])
    return producer.client.cluster.leader_for_partition(PARTITION)


async def test_metadata_is_asked_of_the_other_brokers(producer: AIOKafkaProducer) -> None:
    """`_get_conn`, `_metadata_update`. If it fails: find how the client chooses the broker that it asks for leaders."""
    cluster = Cluster(producer)
    MetadataSource(producer, lambda: [1, 3])

    assert [await ask(producer) for _ in range(20)] == [2] * 20
    assert cluster.asked == [2] * 20


async def test_control_any_broker_is_asked_otherwise(producer: AIOKafkaProducer) -> None:
    cluster = Cluster(producer)
    MetadataSource(producer, list)

    assert {await ask(producer) for _ in range(100)} == {1, 2, 3}
    assert len(cluster.asked) == 100


@pytest.mark.parametrize("left_out", [[1], [1, 2, 3]])
async def test_left_out_broker_is_asked_if_no_other_answers(producer: AIOKafkaProducer, left_out: list[int]) -> None:
    Cluster(producer, 2, 3)
    MetadataSource(producer, lambda: left_out)

    assert await ask(producer) == 1
