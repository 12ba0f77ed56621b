"""Rejected records become rejections on `rejected.v1`."""

from __future__ import annotations

import msgspec

from processors.rejected import RejectedRecord, RejectedTopic, RejectionCode
from schemas.items import Rejection
from schemas.topics import Topics
from tests.fakes.outputs import MemoryOutputs
from tests.support.records import SlimRecord


def rejections(outputs: MemoryOutputs) -> list[Rejection]:
    return [msgspec.json.decode(each.value, type=Rejection) for each in outputs.records["sequence.rejected.v1"]]


async def test_rejected_record_is_written_with_stage_reason_and_value() -> None:
    outputs = MemoryOutputs()
    topic = RejectedTopic(outputs, Topics(), "dedupe")
    record = SlimRecord(7, b"shop/m1", b"{not json")
    await topic.write_records([RejectedRecord(record, RejectionCode.NOT_AN_ITEM, "malformed")])

    (written,) = rejections(outputs)
    assert (written.project_id, written.stage, written.code) == ("shop", "dedupe", "not_an_item")
    assert (written.message, written.content) == ("malformed", "{not json")


async def test_record_without_key_and_value_is_rejected_without_project_and_content() -> None:
    outputs = MemoryOutputs()
    topic = RejectedTopic(outputs, Topics(), "sink")
    await topic.write_records([RejectedRecord(SlimRecord(7), RejectionCode.NOT_AN_ITEM, "empty")])

    (written,) = rejections(outputs)
    assert (written.project_id, written.content) == ("", "")


async def test_repeated_rejection_has_the_same_key() -> None:
    outputs = MemoryOutputs()
    topic = RejectedTopic(outputs, Topics(), "dedupe")
    rejected = RejectedRecord(SlimRecord(7, b"shop/m1", b"{}"), RejectionCode.KEY_MISMATCH, "other key")
    await topic.write_records([rejected])
    await topic.write_records([rejected])

    first, second = outputs.records["sequence.rejected.v1"]
    assert first.key == second.key
