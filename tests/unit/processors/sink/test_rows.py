"""Rows of records, and blocks of rows."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from processors.sink import rows as rows_module
from processors.sink.rows import Block, Row, blocks, item_rows, person_rows
from schemas.clickhouse import EVENTS, IDENTIFIES, PERSONS, Table
from schemas.items import Identify, ItemWarning, Track
from schemas.persons import encode_person, fold
from tests.support.records import SlimRecord, event_read, identify, track

FULL: dict[str, Any] = {
    "project_id": "p",
    "message_id": "m-1",
    "user_id": "019mr8mf4r",
    "timestamp": "2026-01-31T12:00:00.000000Z",
    "received_at": "2026-01-31T12:00:02.000000Z",
    "original_timestamp": "2026-01-31T11:00:00.123000Z",
    "sent_at": "2026-01-31T11:00:02.123000Z",
    "anonymous_id": "a-1",
}
CONTEXT: dict[str, Any] = {
    "context": Raw(b'{"ip":"::1"}'),
    "integrations": Raw(b'{"All":true}'),
    "warnings": (ItemWarning("number_as_id", "userId"),),
    "token_id": "0123456789abcdef",
}


def lines(table: Table, rows: list[Row]) -> list[dict[str, Any]]:
    """Return the lines of *rows* with the names of the columns that their values are written to."""
    names = [name for name, _ in table.columns]
    encoded = Block(table, 0, rows).encode().splitlines()
    return [dict(zip(names, json.loads(line), strict=True)) for line in encoded]


def made(offsets: list[int], *, received_at: str = "2026-01-01T00:00:01.000000Z", size: int = 0) -> list[Row]:
    """Return a row of `events` for each of the source *offsets*."""
    item = msgspec.structs.replace(
        track("m", properties=b'{"x":"' + b"y" * size + b'"}'), message_id="m", received_at=received_at
    )
    return list(
        item_rows([event_read(at, item, source_offset=offset) for at, offset in enumerate(offsets)], 1, 0).events
    )


def offsets_of(block: Block) -> list[int]:
    return [row.source_offset for row in block.rows]


def test_track_becomes_this_row() -> None:
    item = Track(
        **FULL, event="Order Completed", properties=Raw(b'{"price":19.99,"`; DROP":{"x":[1],"y.z":null}}'), **CONTEXT
    )

    rows = item_rows([event_read(90, item, source_offset=123)], 1, 3)

    assert lines(EVENTS, rows.events) == [
        {
            **FULL,
            "event": "Order Completed",
            "properties": {"price": 19.99, "`; DROP": {"x": [1], "y.z": None}},
            "properties_null_keys": ["`; DROP.y%2Ez"],
            "context": '{"ip":"::1"}',
            "integrations": '{"All":true}',
            "_warnings": [{"code": "number_as_id", "field": "userId"}],
            "_token": "0123456789abcdef",
            "_log": 1,
            "_partition": 3,
            "_origin": 123,
        }
    ]
    assert (rows.identifies, rows.rejected) == ([], [])


def test_identify_becomes_this_row() -> None:
    item = Identify(**FULL, traits=Raw(b'{"plan":"pro","gone":null}'), **CONTEXT)

    rows = item_rows([event_read(90, item, source_offset=123)], 1, 3)

    assert lines(IDENTIFIES, rows.identifies) == [
        {
            **FULL,
            "traits": {"plan": "pro", "gone": None},
            "traits_null_keys": ["gone"],
            "context": '{"ip":"::1"}',
            "integrations": '{"All":true}',
            "_warnings": [{"code": "number_as_id", "field": "userId"}],
            "_token": "0123456789abcdef",
            "_log": 1,
            "_partition": 3,
            "_origin": 123,
        }
    ]
    assert (rows.events, rows.rejected) == ([], [])


def test_person_becomes_this_row_with_its_own_offset() -> None:
    person = fold(None, identify("m", traits=b'{"plan":"pro","gone":null,"home.address":{"zip":null}}'))

    rows, rejected = person_rows([SlimRecord(17, b"p/u", encode_person(person))], 1, 2)

    assert lines(PERSONS, rows) == [
        {
            "project_id": "p",
            "user_id": "u",
            "traits": {"home.address": {"zip": None}, "plan": "pro"},
            "traits_null_keys": ["home%2Eaddress.zip"],
            "first_seen": "2026-01-01T00:00:00.000000Z",
            "last_seen": "2026-01-01T00:00:00.000000Z",
            "_erased": 0,
            "_log": 1,
            "_partition": 2,
            "_origin": 17,
        }
    ]
    assert rejected == []


def test_raw_json_is_copied_byte_for_byte() -> None:
    odd = b'{"n":1E2,"big":18446744073709551615,"s":"\\u00e9\\/","d":1,"d":2}'

    rows = item_rows([event_read(0, track("m", properties=odd), source_offset=0)], 1, 0)

    assert odd in Block(EVENTS, 0, rows.events).encode()


@pytest.mark.parametrize(
    "record",
    [
        SlimRecord(5, b"p/m", b"{not json", headers=[("origin", b"1")]),
        SlimRecord(5, b"p/m", None, headers=[("origin", b"1")]),
        SlimRecord(5, b"p/m", b'{"type":"page"}', headers=[("origin", b"1")]),
        SlimRecord(5, b"p/m", event_read(0, track("m"), source_offset=0).value),
        SlimRecord(5, b"p/m", event_read(0, track("m"), source_offset=0).value, headers=[("origin", b"one")]),
    ],
    ids=["no JSON", "tombstone", "other type", "no source offset", "source offset is no number"],
)
def test_record_without_an_item_is_rejected_and_the_others_become_rows(record: SlimRecord) -> None:
    good = [event_read(4, track("a"), source_offset=1), event_read(6, track("b"), source_offset=2)]

    rows = item_rows([good[0], record, good[1]], 1, 0)

    assert [line["message_id"] for line in lines(EVENTS, rows.events)] == ["a", "b"]
    assert [each.record for each in rows.rejected] == [record]
    assert rows.rejected[0].message


def test_undecodable_person_is_rejected_and_tombstone_is_skipped() -> None:
    bad = SlimRecord(1, b"p/u", b"[]")

    rows, rejected = person_rows([SlimRecord(0, b"p/gone", None), bad], 1, 0)

    assert (rows, [each.record for each in rejected]) == ([], [bad])


def test_only_rows_with_growing_source_offsets_are_in_blocks() -> None:
    (block,) = blocks(EVENTS, made([3, 4, 9, 4, 5, 9, 10, 2, 11]), 0, 3)

    assert offsets_of(block) == [4, 9, 10, 11]
    assert (block.first_offset, block.last_offset) == (4, 11)


def test_rows_that_are_already_written_give_no_block() -> None:
    assert list(blocks(EVENTS, made([1, 2, 3]), 0, 3)) == []
    assert list(blocks(EVENTS, [], 0, -1)) == []


def test_block_ends_with_the_week_of_receipt() -> None:
    rows = [
        *made([0, 1], received_at="2026-02-01T23:59:59.999999Z"),  # a Sunday
        *made([2], received_at="2026-02-02T00:00:00.000000Z"),
        *made([3], received_at="2026-02-01T23:59:59.999999Z"),
        *made([4], received_at="2027-02-01T00:00:00.000000Z"),
    ]

    assert [offsets_of(block) for block in blocks(EVENTS, rows, 0, -1)] == [[0, 1], [2], [3], [4]]


def test_block_holds_at_most_its_limit_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 1_000)
    rows = [*made([0, 1, 2, 3, 4], size=380), *made([5], size=5_000), *made([6], size=10)]

    assert [offsets_of(block) for block in blocks(EVENTS, rows, 0, -1)] == [[0, 1], [2, 3], [4], [5], [6]]


def test_null_keys_count_as_bytes_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 1_000)
    nulls = b'{"%s":{%s}}' % (b"x" * 100, b",".join(b'"%d":null' % at for at in range(10)))
    items = [track(f"m{offset}", properties=nulls) for offset in range(3)]
    rows = item_rows([event_read(at, item, source_offset=at) for at, item in enumerate(items)], 1, 0).events

    assert [offsets_of(block) for block in blocks(EVENTS, rows, 0, -1)] == [[0], [1], [2]]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_halves_have_every_row_in_order(count: int) -> None:
    first, second = Block(EVENTS, 1, made(list(range(count)))).halves()

    assert offsets_of(first) + offsets_of(second) == list(range(count))
    assert (first.table, second.partition) == (EVENTS, 1)
    assert abs(len(first.rows) - len(second.rows)) <= 1
