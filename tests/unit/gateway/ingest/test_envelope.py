"""A body is split into items, or rejected as a whole."""

from __future__ import annotations

import pytest

from gateway.errors import MalformedBodyError, TooManyItemsError
from gateway.ingest.envelope import Limits, find_write_keys, parse_envelope
from gateway.ingest.rejections import Code
from gateway.ingest.rules import PathType
from tests.unit.gateway.ingest.checking import VALID, check, raw


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", Code.INVALID_JSON),
        (b" ", Code.INVALID_JSON),
        (b"{", Code.INVALID_JSON),
        (b'{"batch":[{}]', Code.INVALID_JSON),
        (b'{"batch":[{}]} {}', Code.INVALID_JSON),
        (b'{"batch":[{},]}', Code.INVALID_JSON),
        (b'{"batch":[{} {}]}', Code.INVALID_JSON),
        (b'{"batch":[{"a":tru}]}', Code.INVALID_JSON),
        (b'{"batch":[01]}', Code.INVALID_JSON),
        (b"{'batch':[]}", Code.INVALID_JSON),
        (b'{"batch" [{}]}', Code.INVALID_JSON),
        (b"{batch:[{}]}", Code.INVALID_JSON),
        (b'{"batch":["\x01"]}', Code.INVALID_JSON),
        (b"[" * 100_000, Code.INVALID_JSON),
        (b'{"batch":[{"a":"\xff"}]}', Code.INVALID_ENCODING),
        (b'{"batch":[{"a":"\xed\xa0\x80"}]}', Code.INVALID_ENCODING),
        (b"\xff\xfe{\0}\0", Code.INVALID_ENCODING),
        (b"[]", Code.NOT_AN_OBJECT),
        (b"null", Code.NOT_AN_OBJECT),
        (b'"batch"', Code.NOT_AN_OBJECT),
        (b"{}", Code.BATCH_REQUIRED),
        (b'{"Batch":[{}]}', Code.BATCH_REQUIRED),
        (b'{"batch":null}', Code.BATCH_NOT_AN_ARRAY),
        (b'{"batch":{}}', Code.BATCH_NOT_AN_ARRAY),
        (b'{"batch":[]}', Code.BATCH_EMPTY),
        (b'{"batch":[{}],"writeKey":{}}', Code.INVALID_TYPE),
        (b'{"batch":[{}],"writeKey":"\\ud800"}', Code.INVALID_UNICODE),
    ],
)
def test_malformed_batch_is_rejected_with_its_code(body: bytes, code: Code) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        parse_envelope(body)

    assert caught.value.code == code
    assert str(caught.value).endswith((".", "}"))


@pytest.mark.parametrize("item_type", [None, "track", "identify"])
@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"'u'"])
def test_message_about_a_malformed_body_shows_a_body_that_is_accepted(body: bytes, item_type: PathType | None) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        parse_envelope(body, item_type=item_type)
    [_, shown] = str(caught.value).split(" Send, for example: ")

    assert len(check(shown, item_type=item_type).accepted) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", Code.INVALID_JSON),
        (b'{"userId":"u"', Code.INVALID_JSON),
        (b"[]", Code.NOT_AN_OBJECT),
        (b'{"writeKey":5}', Code.INVALID_TYPE),
        (b"\xff", Code.INVALID_ENCODING),
    ],
)
def test_malformed_single_item_is_rejected_with_its_code(body: bytes, code: Code) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        parse_envelope(body, item_type="track")

    assert caught.value.code == code


def test_byte_order_mark_is_ignored() -> None:
    assert len(check(b'\xef\xbb\xbf{"batch":[' + VALID.encode() + b"]}").accepted) == 1


def test_batch_at_the_item_limit_is_accepted_and_one_item_more_rejected() -> None:
    limits = Limits(batch_items=3)

    assert len(check(f'{{"batch":[{",".join([VALID] * 3)}]}}', limits=limits).accepted) == 3
    for item in (VALID, "NaN"):
        with pytest.raises(TooManyItemsError, match="more than 3 items"):
            check(f'{{"batch":[{",".join([item] * 4)}]}}', limits=limits)


def test_lenient_parser_stops_at_the_item_limit() -> None:
    with pytest.raises(TooManyItemsError):
        parse_envelope(b'{"batch":[NaN,1,2,3,tru', limits=Limits(batch_items=3))


def test_millions_of_items_are_rejected_before_they_are_decoded() -> None:
    with pytest.raises(TooManyItemsError):
        parse_envelope(b'{"batch":[' + b"0," * 2_000_000 + b"0]}")


def test_commas_inside_items_do_not_count_as_items() -> None:
    item = raw("properties", '{"a":[' + "1," * 150_000 + "1]}")
    result = check(f'{{"batch":[{",".join([item] * 4)}]}}', limits=Limits(item_bytes=400_000))

    assert len(result.accepted) == 4


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (b'{"batch":[{"writeKey":"nested"}],"writeKey":"w"}', ["w"]),
        (b'\xef\xbb\xbf {"writeKey":"w","userId":"u"}', ["w"]),
        (b'{"writeKey":"\\u0077","batch":[]}', ["w"]),
        (b'{"writeKey":"first","writeKey":"w"}', ["w"]),
        (b'{"batch":[{"writeKey":"nested"}]}', []),
        (b'{"writeKey":5}', []),
        (b'{"writeKey":null}', []),
        (b'{"writeKey":"' + b"w" * 2000 + b'"}', []),
        (b'{"batch":[{"writeKey":"nested","a":NaN}],"writeKey" : "w"}', ["w", "nested"]),
        (b'{"writeKey":"w","batch":' + b"[" * 100_000, ["w"]),
        (b'{"writeKey":"\xff","batch":[NaN]}', []),
        (b'"writeKey":"w",' * 100, ["w"] * 8),
        (b"[]", []),
        (b"", []),
    ],
)
def test_writekey_is_found_without_parsing(body: bytes, keys: list[str]) -> None:
    assert find_write_keys(body) == keys


def test_body_that_is_not_strict_json_may_have_as_many_parts_as_an_item_holds() -> None:
    members = ",".join(f'"k{number}":0' for number in range(100))
    limits = Limits(batch_items=3, item_bytes=400)

    assert limits.parts == 103
    assert len(check(f'{{"batch":[{VALID},NaN],{members}}}', limits=limits).accepted) == 1
    assert len(check(f'{{"batch":[{VALID},0],{members},"more":0}}', limits=limits).accepted) == 1
    with pytest.raises(MalformedBodyError) as caught:
        parse_envelope(f'{{"batch":[{VALID},NaN],{members},"more":0}}'.encode(), limits=limits)

    assert caught.value.code == Code.TOO_COMPLEX
