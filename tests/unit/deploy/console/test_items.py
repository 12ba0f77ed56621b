"""Items as the API shows them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from deploy.console import items
from deploy.console.items import CONTENT_CHARACTERS, with_nulls
from deploy.console.search_sql import rejected_row
from schemas.clickhouse import REJECTED
from schemas.items import ItemWarning, Track
from schemas.records import encode_item

TIME = "2026-01-31 12:00:00.000001"
SHOWN_TIME = "2026-01-31T12:00:00.000001Z"
ROW = {
    "kind": "track",
    "event": "Order Completed",
    "project_id": "dev",
    "message_id": "m1",
    "user_id": "ada",
    "timestamp": TIME,
    "received_at": TIME,
    "original_timestamp": None,
    "sent_at": TIME,
    "anonymous_id": None,
    "shown_context": '{"ip":"::1"}',
    "shown_integrations": "{}",
    "_log": 1,
    "_partition": 3,
    "_origin": "42",
    "_warnings": [{"code": "number_as_id", "field": "userId", "sent": ""}],
    "null_keys": ["coupon", "address.zip"],
    "body": '{"price":42.5,"address":{"city":"Rome"}}',
    "is_cut": 0,
    "_token": "0123456789abcdef",
}


def shown(item: items.Item) -> Any:
    return json.loads(msgspec.json.encode(item))


def test_row_of_an_event_is_shown_as_its_record() -> None:
    found = shown(items.of_row(ROW))

    content = found.pop("content")
    assert found == {
        "receivedAt": SHOWN_TIME,
        "projectId": "dev",
        "verdict": "accepted",
        "stage": None,
        "code": None,
        "field": None,
        "message": None,
        "type": "track",
        "event": "Order Completed",
        "userId": "ada",
        "messageId": "m1",
        "partition": 3,
        "offset": 42,
        "isContentCut": False,
        "warnings": [{"code": "number_as_id", "field": "userId", "sent": ""}],
    }
    assert content["properties"] == {"price": 42.5, "address": {"city": "Rome", "zip": None}, "coupon": None}
    assert (content["context"], content["sentAt"]) == ({"ip": "::1"}, SHOWN_TIME)


def test_row_of_an_identify_has_its_traits() -> None:
    found = shown(items.of_row({**ROW, "kind": "identify", "event": "", "body": '{"plan":"pro"}', "null_keys": []}))

    assert (found["type"], found["event"], found["content"]["traits"]) == ("identify", None, {"plan": "pro"})


def test_long_content_is_cut_to_a_text() -> None:
    found = shown(items.of_row({**ROW, "body": '{"a":"' + "x" * (CONTENT_CHARACTERS - 6), "is_cut": 1}))

    assert found["isContentCut"]
    assert found["content"] == '{"a":"' + "x" * (CONTENT_CHARACTERS - 6)


def test_long_record_is_cut_to_a_text() -> None:
    item = Track(
        *("dev", "m", "u", SHOWN_TIME, SHOWN_TIME), event="A", properties=msgspec.Raw(b'"%s"' % (b"y" * 40_000))
    )
    value = encode_item(item)
    found = shown(items.of_item(item, "accepted", (1, 2), value))

    assert found["isContentCut"]
    assert len(found["content"]) == CONTENT_CHARACTERS
    assert value.decode().startswith(found["content"])


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('{"a":1}', {"a": 1}),
        ("[1,2", "[1,2"),
        ("", ""),
        ("plain \u2713", "plain \u2713"),
        ('{"a":"\\ud800"}', '{"a":"\\ud800"}'),
        ("half \ud800 pair", "half ? pair"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_content_that_is_no_json_is_a_text(text: str, content: object) -> None:
    raw, is_cut = items.shown_content(text)

    assert (json.loads(bytes(raw)), is_cut) == (content, False)


def test_rejection_by_the_gateway_has_no_place_on_items() -> None:
    row = dict.fromkeys((name for name, _ in REJECTED.columns), "") | {
        "project_id": "dev",
        "stage": "gateway",
        "code": "event_required",
        "field": "event",
        "message": "Required.",
        "type": "page",
        "received_at": TIME,
        "rejected_at": TIME,
        "source_topic": "rejected.v1",
        "source_partition": 1,
        "source_offset": 7,
        "is_base64": False,
        "is_truncated": False,
        "body": '{"type":"page"}',
        "is_cut": 0,
        "_log": 1,
        "_partition": 1,
        "_origin": 7,
    }
    found = shown(items.of_rejection(rejected_row(row)))

    assert (found["partition"], found["offset"], found["type"], found["userId"]) == (None, None, None, None)
    assert (found["verdict"], found["stage"], found["code"], found["field"]) == (
        *("rejected", "gateway", "event_required", "event"),
    )
    assert found["content"] == {"type": "page"}

    row |= {"stage": "sink", "source_topic": "items.v1", "is_base64": True, "body": "AAE="}
    found = shown(items.of_rejection(rejected_row(row)))
    assert (found["partition"], found["offset"], found["content"]) == (1, 7, "AAE=")


@pytest.mark.parametrize(
    ("text", "paths", "expected"),
    [
        ("{}", ["a"], {"a": None}),
        ('{"a":1}', ["a"], {"a": 1}),
        ('{"a":{"b":1}}', ["a.c", "d.e.f"], {"a": {"b": 1, "c": None}, "d": {"e": {"f": None}}}),
        ("{}", ["utm%2Esource"], {"utm.source": None}),
        ('{"a":[1]}', ["a[]", "a[].b", "a.b"], {"a": [1]}),
        ("not json", ["a"], {"a": None}),
    ],
)
def test_nulls_are_put_back_where_they_were(text: str, paths: list[str], expected: object) -> None:
    assert json.loads(bytes(with_nulls(text, paths))) == expected


def test_warnings_of_a_record_are_shown() -> None:
    assert shown(items.shown_warnings([ItemWarning("a", "b", "c")])) == [  # type: ignore[arg-type]  # any value
        {"code": "a", "field": "b", "sent": "c"}
    ]
