"""Records as the engine reads them: what aiokafka reads, in another shape."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from processors.engine.aiokafka_patches import SlimRecord, SlimRecords, patch_consumer_records

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


@pytest.mark.parametrize("fetch_offset", [0, 1, 3])
def test_the_same_records_are_read_with_the_same_fields(fetch_offset: int) -> None:
    theirs = [SlimRecord(r.offset, r.timestamp, r.key, r.value, r.headers) for r in read(THEIRS, fetch_offset)]

    assert read(SlimRecords, fetch_offset) == theirs
    assert len(theirs) == 3 - fetch_offset


def test_consumers_make_them_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "PartitionRecords", THEIRS)

    patch_consumer_records()

    assert fetcher.PartitionRecords is SlimRecords


def test_the_garbage_collector_does_not_look_into_a_record() -> None:
    assert not any(gc.is_tracked(record) for record in read(SlimRecords, 0))
