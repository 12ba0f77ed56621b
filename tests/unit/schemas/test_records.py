"""Encoding and decoding of items, keys, headers and rejections."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from aiokafka.partitioner import murmur2 as kafkas_murmur2
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from schemas.items import Identify, Item, Rejection, Track
from schemas.records import (
    REJECTED_CONTENT_LIMIT_BYTES,
    InvalidRecordError,
    decode_item,
    encode_item,
    event_headers,
    item_key,
    item_record,
    keyed_items,
    partition_for,
    person_key,
    rejection_record,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
objects = st.dictionaries(texts, st.none() | st.integers(-(2**63), 2**64 - 1) | texts, max_size=3).map(
    lambda members: Raw(msgspec.json.encode(members))
)
optional = st.none() | texts
fields = (*[texts] * 5, *[optional] * 3, objects, objects)
tracks = st.builds(Track, *fields, event=texts, properties=objects)
identifies = st.builds(Identify, *fields, traits=objects)

REJECTION = Rejection("p", "gateway", "too_deep", "A value is nested too deep.", "2026-01-31T12:00:00.000000Z")


def rejected(content: bytes) -> Rejection:
    return msgspec.json.decode(rejection_record(REJECTION, content).value, type=Rejection)


def kept_of(rejection: Rejection) -> bytes:
    if rejection.content is not None:
        return rejection.content.encode()
    return base64.b64decode(rejection.content_base64 or "", validate=True)


@given(tracks | identifies)
def test_decoded_item_equals_the_encoded_one(item: Item) -> None:
    assert decode_item(encode_item(item)) == item
    assert item_record(item).value == encode_item(item)
    assert keyed_items(item.project_id, [item]) == [(item_record(item).key, item_record(item).value)]


def test_raw_values_are_encoded_byte_for_byte() -> None:
    item = Track("p", "m", "u", "t", "r", event="e", properties=Raw(b'{"a":1.50, "a" : 1E2}'))

    assert encode_item(item) == (
        b'{"type":"track","projectId":"p","messageId":"m","userId":"u",'
        b'"timestamp":"t","receivedAt":"r","event":"e","properties":{"a":1.50, "a" : 1E2}}'
    )


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{}", b"[]", b"\xff", b'{"type":"page"}', b'{"type":"track"}', b'{"a":' * 5000, b'"\\ud800"'],
)
def test_bytes_that_are_no_item_raise_an_error(value: bytes | None) -> None:
    with pytest.raises(InvalidRecordError):
        decode_item(value)


@given(st.binary(max_size=100))
def test_key_hash_equals_the_one_of_kafka(data: bytes) -> None:
    assert partition_for(data, 1 << 31) == kafkas_murmur2(data) & 0x7FFFFFFF


def test_keys_are_project_and_id() -> None:
    assert item_key("p", "é/1") == "p/é/1".encode()
    assert person_key("p", "u") == b"p/u"
    assert item_record(Track("p", "m", "u", "t", "r", event="e")).key == b"p/m"


def test_headers_of_an_event_are_source_offset_and_message_id() -> None:
    assert event_headers(b"m", 17) == (("origin", b"17"), ("message_id", b"m"))
    assert event_headers(b"m", 17, 1_700_000_000_000, 0x01020304) == (
        *event_headers(b"m", 17),
        ("time", b"1700000000000"),
        ("digest", b"\x04\x03\x02\x01"),
    )


@given(st.binary(max_size=200))
def test_content_of_a_rejection_is_kept_whole(content: bytes) -> None:
    rejection = rejected(content)

    assert kept_of(rejection) == content
    assert not rejection.truncated


def test_same_content_and_code_give_the_same_rejection_key() -> None:
    other = msgspec.structs.replace(REJECTION, code="blank")
    later = msgspec.structs.replace(REJECTION, rejected_at="2026-01-31T13:00:00.000000Z")

    assert rejection_record(REJECTION, b"{}").key == rejection_record(later, b"{}").key
    keys = [rejection_record(*each).key for each in ((REJECTION, b"{}"), (other, b"{}"), (REJECTION, b"[]"))]
    assert len(set(keys)) == 3
    assert all(key.startswith(b"p/") for key in keys)


@pytest.mark.parametrize(
    ("content", "readable"),
    [
        pytest.param(b"x" * (REJECTED_CONTENT_LIMIT_BYTES + 1), True, id="text"),
        pytest.param(b"x" + "é".encode() * REJECTED_CONTENT_LIMIT_BYTES, True, id="cut within a character"),
        pytest.param(b"\xff" + b"x" * REJECTED_CONTENT_LIMIT_BYTES, False, id="bytes"),
        pytest.param(b"\1" * (REJECTED_CONTENT_LIMIT_BYTES + 1), False, id="control codes"),
    ],
)
def test_content_above_the_limit_is_truncated(content: bytes, readable: bool) -> None:  # noqa: FBT001  # it is the value
    record = rejection_record(REJECTION, content)
    rejection = rejected(content)

    assert rejection.truncated
    assert (rejection.content is not None) == readable
    assert content.startswith(kept_of(rejection))
    assert REJECTED_CONTENT_LIMIT_BYTES - 3 <= len(kept_of(rejection)) <= REJECTED_CONTENT_LIMIT_BYTES
    assert len(record.value) < 3 * REJECTED_CONTENT_LIMIT_BYTES


def test_rejection_omits_missing_fields() -> None:
    assert json.loads(rejection_record(REJECTION, b"[1]").value) == {
        "projectId": "p",
        "stage": "gateway",
        "code": "too_deep",
        "message": "A value is nested too deep.",
        "rejectedAt": "2026-01-31T12:00:00.000000Z",
        "content": "[1]",
    }
