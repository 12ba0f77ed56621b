"""The engine's patches of aiokafka: slim records, and requests to connections that uvloop has closed."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import OffsetAndMetadata

from processors.engine.aiokafka_patches import (
    SlimRecord,
    SlimRecords,
    add_commit_metadata,
    append_outputs,
    connection_errors,
    patch_closed_transport_error,
    patch_consumer_records,
)
from processors.engine.output import Output

THEIRS = fetcher.PartitionRecords
TP = TopicPartition("items", 3)


def batch() -> bytes:
    """Return a batch with every kind of record: with and without key, value and headers."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0,
        batch_size=10_000,
    )  # fmt: skip
    builder.append(0, 1_000, b"k", b"v", [("origin", b"7"), ("message_id", b"m")])
    builder.append(1, 1_001, None, b"v", [])
    builder.append(2, 1_002, b"k", None, [("origin", b"")])
    return bytes(builder.build())


def read(kind: Any, fetch_offset: int) -> list[Any]:
    records = MemoryRecords(batch())
    return list(kind(TP, records, None, fetch_offset, None, None, True, 0))  # noqa: FBT003  # its only signature


def test_outputs_are_written_as_by_the_public_method() -> None:
    outputs = [Output(b"k", b"v", [("origin", b"7")]), Output(b"k", None), Output(b"l", b"", (("a", b""), ("b", b"1")))]
    slow, fast = BatchBuilder(10_000, 0), BatchBuilder(10_000, 0)
    for output in outputs:
        slow.append(timestamp=1_000, key=output.key, value=output.value, headers=list(output.headers))

    assert append_outputs(fast, outputs, 1_000) == 3
    assert (fast.record_count(), fast._build()) == (slow.record_count(), slow._build())


def test_outputs_that_do_not_fit_are_left_but_the_first() -> None:
    large = Output(b"k", b"v" * 600)

    assert append_outputs(BatchBuilder(1_000, 0), [large, large], 1_000) == 1
    assert append_outputs(BatchBuilder(100, 0), [large], 1_000) == 1


@pytest.mark.parametrize("fetch_offset", [0, 1, 3])
def test_slim_records_have_the_fields_of_aiokafkas_records(fetch_offset: int) -> None:
    theirs = [SlimRecord(r.offset, r.timestamp, r.key, r.value, r.headers) for r in read(THEIRS, fetch_offset)]

    assert read(SlimRecords, fetch_offset) == theirs
    assert len(theirs) == 3 - fetch_offset


def test_patched_consumers_read_slim_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "PartitionRecords", THEIRS)

    patch_consumer_records()

    assert fetcher.PartitionRecords is SlimRecords


def test_slim_records_are_not_tracked_by_the_garbage_collector() -> None:
    assert not any(gc.is_tracked(record) for record in read(SlimRecords, 0))


class ClosedWriter:
    """Rejects writes as uvloop's closed transport does."""

    def write(self, data: bytes) -> None:
        del data
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    def close(self) -> None: ...


async def test_request_to_a_closed_connection_is_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AIOKafkaConnection, "send", AIOKafkaConnection.send)
    patch_closed_transport_error()
    connection: Any = AIOKafkaConnection("127.0.0.1", 9092)
    connection._writer = connection._reader = ClosedWriter()
    connection._versions = {3: (0, 1)}
    connection._read_task = asyncio.get_running_loop().create_task(asyncio.sleep(0))

    with pytest.raises(KafkaConnectionError):
        connection.send(MetadataRequest([]))
    assert not connection.connected()


def test_connection_errors_collects_what_aiokafka_logs(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("aiokafka")
    caplog.set_level("ERROR", logger.name)
    with connection_errors() as reasons:
        logger.error('Unable connect to "%s:%s": %s', "kafka", 9092, "refused")
    logger.error("afterwards")

    assert reasons == ['Unable connect to "kafka:9092": refused']
    assert [record.getMessage() for record in caplog.records] == ["afterwards"]


class CommittingConsumer:
    """aiokafka's consumer, as Faust commits with it."""

    def __init__(self) -> None:
        self.commits: dict[TopicPartition, OffsetAndMetadata] = {}

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        self.commits.update(offsets)


async def test_commit_carries_what_the_stage_notes() -> None:
    consumer = CommittingConsumer()
    sent: dict[TopicPartition, int] = {}
    add_commit_metadata(consumer, lambda tp: f"{tp.topic}-{tp.partition}", sent.update)
    await consumer.commit({TopicPartition("events", 3): OffsetAndMetadata(7, "")})
    assert consumer.commits == {TopicPartition("events", 3): OffsetAndMetadata(7, "events-3")}
    assert sent == {TopicPartition("events", 3): 7}
