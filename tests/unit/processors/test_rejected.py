"""Rejected records become rejections on `rejected.v1`."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from processors.rejected import RejectedRecord, RejectionCode, Source, source_of
from processors.rejected_topic import RejectedTopic
from schemas.items import Rejection
from schemas.topics import Topics
from tests.fakes.outputs import MemoryOutputs
from tests.support.records import SlimRecord
from tests.support.services import eventually

ITEMS = Topics().items


def rejections(outputs: MemoryOutputs) -> list[Rejection]:
    return [msgspec.json.decode(each.value, type=Rejection) for each in outputs.records["sequence.rejected.v1"]]


async def test_rejected_record_is_written_with_stage_reason_and_value() -> None:
    outputs = MemoryOutputs()
    topic = RejectedTopic(outputs, Topics(), "dedupe")
    record = SlimRecord(7, b"shop/m1", b"{not json")
    await topic.write_records([RejectedRecord(record, RejectionCode.NOT_AN_ITEM, "malformed")], ITEMS, 3)

    (written,) = rejections(outputs)
    assert (written.project_id, written.stage, written.code) == ("shop", "dedupe", "not_an_item")
    assert (written.message, written.content) == ("malformed", "{not json")
    assert (written.source_topic, written.source_partition, written.source_offset) == ("items.v1", 3, 7)


@pytest.mark.parametrize(
    ("topic", "headers", "source"),
    [
        (ITEMS, (), Source("items.v1", 3, 7)),
        (ITEMS, (("origin", b"40"),), Source("items.v1", 3, 7)),
        ("a.b.events.v1", (("origin", b"40"),), Source("items.v1", 3, 40)),
        ("sequence.identifies.v1", (("origin", b"40"), ("origin_partition", b"5")), Source("items.v1", 5, 40)),
        ("sequence.events.v1", (), Source("events.v1", 3, 7)),
        ("sequence.events.v1", (("origin", b"-1"),), Source("events.v1", 3, 7)),
        ("sequence.events.v1", (("origin", b"1" * 30),), Source("events.v1", 3, 7)),
        ("sequence.persons.v1", (), Source("persons.v1", 3, 7)),
    ],
)
def test_source_is_the_item_if_its_source_offset_is_known_and_the_record_otherwise(
    topic: str, headers: tuple[tuple[str, bytes], ...], source: Source
) -> None:
    assert source_of(SlimRecord(7, headers=headers), topic, 3) == source


async def test_record_without_key_and_value_is_rejected_without_project_and_content() -> None:
    outputs = MemoryOutputs()
    topic = RejectedTopic(outputs, Topics(), "sink")
    await topic.write_records([RejectedRecord(SlimRecord(7), RejectionCode.NOT_AN_ITEM, "empty")], ITEMS, 3)

    (written,) = rejections(outputs)
    assert (written.project_id, written.content) == ("", "")


async def test_repeated_rejection_has_the_same_key() -> None:
    outputs = MemoryOutputs()
    topic = RejectedTopic(outputs, Topics(), "dedupe")
    rejected = RejectedRecord(SlimRecord(7, b"shop/m1", b"{}"), RejectionCode.KEY_MISMATCH, "other key")
    await topic.write_records([rejected], ITEMS, 3)
    await topic.write_records([rejected], ITEMS, 3)

    first, second = outputs.records["sequence.rejected.v1"]
    assert first.key == second.key


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def test_rejections_are_one_line_with_the_number_of_each_code(caplog: pytest.LogCaptureFixture) -> None:
    topic = RejectedTopic(MemoryOutputs(), Topics("shop"), "sink")
    for offset in range(300):
        code = RejectionCode.ROW_REJECTED if offset % 3 else RejectionCode.NOT_AN_ITEM
        await topic.write_records(
            [RejectedRecord(SlimRecord(offset, b"shop/m", b"{secret}"), code, "secret")], ITEMS, 3
        )
    topic.stop()

    assert lines(caplog) == [
        "sink: rejected 300 records in 0 s: row_rejected 200, not_an_item 100. They are on shop.rejected.v1"
    ]


async def test_rejections_are_logged_while_the_worker_runs(caplog: pytest.LogCaptureFixture) -> None:
    topic = RejectedTopic(MemoryOutputs(), Topics(), "dedupe")
    await topic.write_records([RejectedRecord(SlimRecord(7), RejectionCode.NOT_AN_ITEM, "empty")], ITEMS, 3)
    await asyncio.to_thread(eventually, lambda: bool(caplog.records), "a line", within_seconds=10)
    topic.stop()

    assert len(lines(caplog)) == 1


async def test_batch_without_rejections_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    topic = RejectedTopic(MemoryOutputs(), Topics(), "dedupe")
    await topic.write_records([], ITEMS, 3)
    topic.stop()

    assert lines(caplog) == []
