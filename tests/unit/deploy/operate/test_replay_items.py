"""From a rejected item back to what a producer sends: its time stays, and so does its messageId."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.operate.replay_items import NotReplayableError, replayed, with_type
from gateway.ingest.envelope import parse_envelope
from gateway.ingest.validate import validate_items
from schemas.items import Track
from schemas.records import encode_item
from schemas.times import parse_time
from tests.support.records import identify, track

RECEIVED = "2026-01-01 00:10:00.000000"
ROW = {
    "stage": "gateway",
    "table_name": "",
    "message_id": "",
    "received_at": RECEIVED,
    "is_base64": False,
    "is_truncated": False,
    "_log": 1,
    "_partition": 3,
    "_origin": 17,
}


def item_of(content: object, **columns: object) -> dict[str, Any]:
    """Return the item that is sent for a rejected one with *content*."""
    text = content if isinstance(content, str) else json.dumps(content)
    sent: dict[str, Any] = json.loads(replayed({**ROW, "content": text, **columns}).item)
    return sent


def test_item_without_id_and_time_gets_those_of_its_rejection() -> None:
    sent = item_of({"type": "track", "userId": "ada"})

    assert sent == {
        "type": "track",
        "userId": "ada",
        "timestamp": "2026-01-01T00:10:00.000000Z",
        "messageId": "rejected:1-3-17",
    }


@pytest.mark.parametrize(
    ("times", "timestamp"),
    [
        ({"timestamp": "2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00Z"),
        ({"timestamp": "2026-01-01T00:00:00Z", "sentAt": "2026-01-01T00:05:00Z"}, "2026-01-01T00:05:00.000000Z"),
        ({"originalTimestamp": "2026-01-01T00:00:00Z"}, "2026-01-01T00:00:00Z"),
        ({"timestamp": "at noon", "sentAt": "2026-01-01T00:05:00Z"}, "at noon"),
        ({"timestamp": 1767225600, "sentAt": "2026-01-01T00:05:00Z"}, 1767225600),
        ({"timestamp": "2026-01-01T00:00:00Z", "sentAt": "soon"}, "2026-01-01T00:00:00Z"),
        ({"timestamp": None, "sentAt": "2026-01-01T00:05:00Z"}, "2026-01-01T00:10:00.000000Z"),
    ],
)
def test_time_is_corrected_as_it_was_when_the_item_was_received(times: dict[str, Any], timestamp: object) -> None:
    sent = item_of({"type": "track", "messageId": "m", **times})

    assert (sent["timestamp"], "sentAt" in sent, "originalTimestamp" in sent) == (timestamp, False, False)


@pytest.mark.parametrize(
    ("item", "sent"),
    [
        (b'{"event":"e"}', b'{"type":"track","event":"e"}'),
        (b' {"traits":{},"n":1.50}', b'{"type":"identify","traits":{},"n":1.50}'),
        (b'{"userId":"u"}', b'{"userId":"u"}'),
        (b'{"type":"page","event":"e"}', b'{"type":"page","event":"e"}'),
        (b'{"type":null,"event":"e"}', b'{"type":null,"event":"e"}'),
    ],
)
def test_item_whose_path_gave_its_type_gets_it_from_its_members(item: bytes, sent: bytes) -> None:
    assert with_type(item) == sent


def test_item_of_a_worker_is_the_same_item_again() -> None:
    item = track("m", properties=b'{"a":12345678901234567890,"b":1.50}')
    row = {**ROW, "stage": "dedupe", "message_id": "m", "content": encode_item(item).decode()}
    envelope = parse_envelope(b'{"batch":[%s]}' % replayed(row).item)
    [again] = validate_items(envelope, project_id="p", received_at=parse_time("2026-03-01")).accepted

    assert isinstance(again, Track)
    assert (again.message_id, again.user_id, again.timestamp) == ("m", "u", item.timestamp)
    assert (again.event, bytes(again.properties)) == (item.event, bytes(item.properties))


@pytest.mark.parametrize("stage", ["persons", "sink"])
def test_item_that_dedupe_knows_gets_another_id_the_same_each_time(stage: str) -> None:
    content = encode_item(identify("m")).decode()
    assert item_of(content, stage=stage, message_id="m")["messageId"] == "replayed:m"

    long = item_of(content, stage=stage, message_id="m" * 255)["messageId"]
    assert (long, len(long) <= 255) == (item_of(content, stage=stage, message_id="m" * 255)["messageId"], True)


def test_row_that_clickhouse_did_not_take_becomes_its_item() -> None:
    row: dict[str, Any] = {
        "project_id": "p",
        "message_id": "m",
        "user_id": "ada",
        "event": "Clicked",
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "properties": {"a": 1},
        "properties_null_keys": [],
        "anonymous_id": None,
        "context": '{"ip":"1.2.3.4"}',
        "integrations": "{}",
        "_log": 1,
    }
    assert item_of(row, stage="sink", table_name="events", message_id="m") == {
        "type": "track",
        "messageId": "replayed:m",
        "userId": "ada",
        "event": "Clicked",
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "properties": {"a": 1},
        "context": {"ip": "1.2.3.4"},
        "integrations": {},
    }


def test_content_that_only_a_lenient_parser_reads_is_sent() -> None:
    assert item_of('{"type":"track","properties":{"price":NaN}}')["type"] == "track"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"is_base64": True}, "its content is not text"),
        ({"is_truncated": True}, "its content was longer than 1 MiB and was cut"),
        ({"content": "{not json"}, "its content is not JSON"),
        ({"content": "[1]"}, "its content is not a JSON object"),
        ({"table_name": "duplicates", "stage": "sink"}, "it is a duplicate"),
        ({"table_name": "person_states", "stage": "sink"}, "it is a row of person_states and no item"),
    ],
)
def test_what_is_no_item_is_not_sent(columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotReplayableError, match=f"^{reason}$"):
        replayed({**ROW, "content": "{}", **columns})
