"""The stage for duplicates: rows of `duplicates.v1`, each once whatever is read again."""

from __future__ import annotations

import msgspec
from msgspec import structs

from processors.engine.membership import GroupMembership
from processors.engine.stage import InputOffsets, RecordBatch
from processors.rejected_topic import RejectedTopic
from processors.sink.duplicates import BeginningFinder, DuplicatesStage, duplicate_rows
from processors.sink.rows import Block
from schemas.clickhouse import DUPLICATES
from schemas.items import Identify, Track
from schemas.records import duplicate_headers, encode_item, item_key
from schemas.topics import Topics
from tests.contracts.sinks import valid_lease
from tests.fakes.outputs import MemoryOutputs
from tests.fakes.sink import MemorySink
from tests.fakes.sink_log import memory_log
from tests.support.records import SlimRecord, identify, track


def duplicate_read(
    offset: int, item: Track | Identify, source_offset: int, first: int, *, same: bool | None
) -> SlimRecord:
    """Return *item* as read from `duplicates.v1`."""
    headers = duplicate_headers(source_offset, first, same_content=same)
    return SlimRecord(offset, item_key(item.project_id, item.message_id), encode_item(item), 0, headers)


def batch(*source_offsets: int) -> RecordBatch:
    records = [duplicate_read(at, track(f"m{each}"), each, 0, same=True) for at, each in enumerate(source_offsets)]
    return RecordBatch("sequence.duplicates.v1", 0, records)


async def started(sink: MemorySink, outputs: MemoryOutputs) -> DuplicatesStage:
    topics = Topics()
    rejected = RejectedTopic(outputs, topics, "sink")
    stage = DuplicatesStage(topics, sink, rejected, memory_log(sink), valid_lease)
    await stage.start(GroupMembership(10.0, lambda: None))
    await stage.assigned({0: InputOffsets(0, 0)})
    return stage


def test_duplicates_become_these_rows() -> None:
    item, person = (
        structs.replace(track("m", properties=b'{"a":"\\u00e9"}'), token_id="0123456789abcdef"),
        identify("i"),
    )
    records = [
        duplicate_read(0, item, 9, 4, same=False),
        duplicate_read(1, person, 11, 2, same=True),
        duplicate_read(2, person, 12, 2, same=None),
    ]

    rows, rejected = duplicate_rows(records, 7, 3)

    lines = [msgspec.json.decode(line) for line in Block(DUPLICATES, 3, rows).encode().splitlines()]
    names = [name for name, _ in DUPLICATES.columns]
    found = [dict(zip(names, line, strict=True)) for line in lines]
    assert rejected == []
    assert found[0] == {
        "project_id": "p",
        "message_id": "m",
        "type": "track",
        "event": "Clicked",
        "user_id": "u",
        "received_at": item.received_at,
        "first_origin": 4,
        "same_content": False,
        "content": encode_item(item).decode(),
        "_token": "0123456789abcdef",
        "_log": 7,
        "_partition": 3,
        "_origin": 9,
    }
    assert [(each["type"], each["event"], each["same_content"]) for each in found[1:]] == [
        ("identify", "", True),
        ("identify", "", None),
    ]


async def test_records_that_are_no_duplicates_are_rejected_and_the_others_written() -> None:
    sink, outputs = MemorySink(), MemoryOutputs()
    good = duplicate_read(3, track("m"), 9, 4, same=True)
    records = [
        SlimRecord(0, good.key, b"{not json", 0, good.headers),
        SlimRecord(1, good.key, good.value, 0, good.headers[:1]),
        SlimRecord(2, good.key, good.value, 0, (("origin", b"x"), ("first_origin", b"1"))),
        good,
    ]

    await (await started(sink, outputs)).process(RecordBatch("sequence.duplicates.v1", 0, records))

    assert [row.source_offset for row in sink.rows["duplicates"]] == [9]
    assert len(outputs.records["sequence.rejected.v1"]) == 3


async def test_duplicates_written_again_by_dedupe_are_stored_once() -> None:
    sink, outputs = MemorySink(), MemoryOutputs()
    stage = await started(sink, outputs)
    await stage.process(batch(3, 8, 9, 3, 8, 9, 12))
    await stage.process(batch(9, 12, 15))
    await (await started(sink, outputs)).process(batch(3, 8, 9, 12, 15, 20))

    assert [row.source_offset for row in sink.rows["duplicates"]] == [3, 8, 9, 12, 15, 20]


async def test_table_that_lost_rows_is_filled_from_the_beginning_of_the_topic() -> None:
    finder = BeginningFinder(Topics(), memory_log(MemorySink()).reader)

    assert (await finder.find(0, InputOffsets(0, 500), 7)).offset == 0
    assert finder.source == "sequence.items.v1"
