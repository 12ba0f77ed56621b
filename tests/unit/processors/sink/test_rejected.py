"""The stage for rejections: a row for each record of `rejected.v1`, whatever it is, and never another rejection."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from processors.engine.membership import GroupMembership
from processors.engine.stage import InputOffsets, RecordBatch, SourceRecord
from processors.rejected_topic import RejectedTopic
from processors.sink.rejected import NAME_CHARACTERS, RejectedStage, rejection_rows
from processors.sink.rows import Block
from schemas.clickhouse import REJECTED
from schemas.items import Rejection
from schemas.records import encode_item, rejection_record
from schemas.topics import Topics
from tests.contracts.sinks import valid_lease
from tests.fakes.outputs import MemoryOutputs
from tests.fakes.sink import FaultySink, MemorySink
from tests.fakes.sink_log import memory_log
from tests.support.records import SlimRecord, track
from tests.unit.processors.sink.faults import MEMORY, with_row

AT = "2026-01-01T00:00:09.000000Z"
TOKEN = "0123456789abcdef"
GATEWAY = Rejection(
    "p", "gateway", "event_required", "`event` is required.", AT, "event", None, "request-1", token_id=TOKEN
)
WORKER = Rejection(
    "p", "persons", "person_too_large", "Too large.", AT, None, "m", None, None, "items.v1", 5, 40
)  # fmt: skip
ROW = msgspec.structs.replace(
    WORKER, stage="sink", code="row_rejected", field="timestamp", table="events", message_id=None
)


def read(offset: int, rejection: Rejection, content: bytes) -> SlimRecord:
    """Return *rejection* as read from `rejected.v1`."""
    record = rejection_record(rejection, content)
    return SlimRecord(offset, record.key, record.value, 1_767_225_600_000)


def rows_of(*records: SlimRecord) -> list[dict[str, Any]]:
    """Return the rows of *records* of partition 3 as they are sent to ClickHouse."""
    lines = Block(REJECTED, 3, rejection_rows(records, 7, 3)).encode().splitlines()
    names = [name for name, _ in REJECTED.columns]
    return [dict(zip(names, msgspec.json.decode(line), strict=True)) for line in lines]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.sink.attempts.LONGEST_PAUSE_SECONDS", 0.0)


async def started(sink: MemorySink, outputs: MemoryOutputs) -> RejectedStage:
    topics = Topics()
    stage = RejectedStage(topics, sink, RejectedTopic(outputs, topics, "sink"), memory_log(sink), valid_lease)
    await stage.start(GroupMembership(10.0, lambda: None))
    await stage.assigned({0: InputOffsets(0, 0)})
    return stage


def batch(*records: SourceRecord) -> RecordBatch:
    return RecordBatch("sequence.rejected.v1", 0, records)


def test_rejection_by_the_gateway_becomes_this_row() -> None:
    content = (
        b'{"type":"track","event":{"a":1},"userId":42,"messageId":"m\\u00e9","receivedAt":"1999-01-01T00:00:00Z",'
        b'"tokenId":"claimed"}'
    )

    assert rows_of(read(9, GATEWAY, content)) == [
        {
            "project_id": "p",
            "stage": "gateway",
            "code": "event_required",
            "field": "event",
            "value": '{"a":1}',
            "message": "`event` is required.",
            "message_id": "mé",
            "type": "track",
            "event": '{"a":1}',
            "user_id": "42",
            "received_at": AT,
            "rejected_at": AT,
            "request_id": "request-1",
            "table_name": "",
            "content": content.decode(),
            "is_base64": False,
            "is_truncated": False,
            "source_topic": "rejected.v1",
            "source_partition": 3,
            "source_offset": 9,
            "_token": TOKEN,
            "_log": 7,
            "_partition": 3,
            "_origin": 9,
        }
    ]


def test_rejection_by_a_worker_has_its_source_and_the_time_of_receipt() -> None:
    item = msgspec.structs.replace(track("m", user_id="ada"), token_id=TOKEN)
    [row] = rows_of(read(9, WORKER, encode_item(item)))

    assert (row["source_topic"], row["source_partition"], row["source_offset"], row["_origin"]) == (
        "items.v1",
        5,
        40,
        9,
    )
    assert (row["received_at"], row["rejected_at"]) == (item.received_at, AT)
    assert (row["user_id"], row["event"], row["type"], row["_token"]) == ("ada", "Clicked", "track", TOKEN)


def test_rejected_row_has_its_table_column_and_value() -> None:
    content = b'{"message_id":"m","user_id":"ada","event":"e","timestamp":"never","received_at":"2026-01-01T00:00:01Z"}'
    [row] = rows_of(read(9, ROW, content))

    assert (row["table_name"], row["field"], row["value"]) == ("events", "timestamp", '"never"')
    assert (row["message_id"], row["user_id"], row["event"]) == ("m", "ada", "e")
    assert row["received_at"] == "2026-01-01T00:00:01.000000Z"


@pytest.mark.parametrize(
    ("content", "base64", "truncated"),
    [(b"\xff\xfe", True, False), (b"{" + b"x" * (2 << 20), False, True), (b"[1]", False, False), (b"", False, False)],
)
def test_content_that_is_no_object_is_stored_without_names(content: bytes, *, base64: bool, truncated: bool) -> None:
    [row] = rows_of(read(0, GATEWAY, content))

    assert (row["is_base64"], row["is_truncated"]) == (base64, truncated)
    assert (row["event"], row["user_id"], row["message_id"], row["value"]) == ("", "", "", "")
    assert len(row["content"]) == (4 if base64 else min(len(content), 1 << 20))


def test_long_names_and_values_of_the_content_are_cut() -> None:
    content = msgspec.json.encode({"event": "e" * 1000, "userId": "u" * 1000})
    [row] = rows_of(read(0, GATEWAY, content))

    assert (len(row["event"]), len(row["user_id"]), len(row["value"])) == (NAME_CHARACTERS, NAME_CHARACTERS, 256)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"no JSON",
        b"\xff",
        b"[]",
        b'{"projectId":"p"}',
        b"[" * 100_000,
        b'{"projectId":"p","stage":"s","code":"c","message":"m","rejectedAt":"never"}',
        b'{"projectId":"p","stage":"s","code":"c","message":"m","rejectedAt":"2026-01-01T00:00:00Z","sourceOffset":-1}',
    ],
)
def test_record_that_is_no_rejection_has_a_row_with_the_brokers_time(value: bytes | None) -> None:
    [row] = rows_of(SlimRecord(4, b"shop/x", value, 1_767_225_600_000))

    assert (row["project_id"], row["code"], row["_origin"]) == ("shop", "not_a_rejection", 4)
    assert row["rejected_at"] == row["received_at"] == "2026-01-01T00:00:00.000000Z"
    assert row["message"]


async def test_records_that_are_read_again_are_stored_once() -> None:
    sink, outputs = MemorySink(), MemoryOutputs()
    records = [read(offset, GATEWAY, b"%d" % offset) for offset in range(6)]
    stage = await started(sink, outputs)
    await stage.process(batch(*records[:3]))
    await stage.process(batch(*records[1:5]))
    await (await started(sink, outputs)).process(batch(*records))

    assert [row.source_offset for row in sink.rows["rejected"]] == [0, 1, 2, 3, 4, 5]
    assert outputs.records == {}


async def test_rejection_that_cannot_be_stored_is_logged_and_not_rejected(caplog: pytest.LogCaptureFixture) -> None:
    sink, outputs = FaultySink(), MemoryOutputs()
    sink.fault = with_row(1, MEMORY)
    stage = await started(sink, outputs)
    with caplog.at_level(logging.ERROR):
        await stage.process(batch(*(read(offset, GATEWAY, b"%d" % offset) for offset in range(3))))

    assert [row.source_offset for row in sink.rows["rejected"]] == [0, 2]
    assert outputs.records == {}
    assert "does not store the rejection at offset 1 of partition 0" in caplog.text


async def test_table_that_lost_rows_is_filled_from_the_offset_after_its_position() -> None:
    sink, outputs = MemorySink(), MemoryOutputs()
    await (await started(sink, outputs)).process(batch(*(read(offset, GATEWAY, b"x") for offset in range(3))))
    topics = Topics()
    stage = RejectedStage(topics, sink, RejectedTopic(outputs, topics, "sink"), memory_log(sink), valid_lease)
    await stage.start(GroupMembership(10.0, lambda: None))

    assigned = await stage.assigned({0: InputOffsets(0, 9, committed=None)})

    assert assigned.start_offsets == {0: 3}
    assert assigned.remembered_offsets == {("sequence.rejected.v1", 0): 2}
