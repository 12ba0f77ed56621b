"""A body is taken apart, or refused as a whole."""

from __future__ import annotations

import pytest

from gateway.ingest.envelope import Limits, read_request
from gateway.ingest.rejections import Code, MalformedBodyError, TooManyItemsError
from tests.unit.gateway.ingest.checking import GOOD, check, raw


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
        (b"[" * 100_000, Code.TOO_DEEP),
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
        (b'{"batch":[{}],"sentAt":5}', Code.INVALID_TYPE),
        (b'{"batch":[{}],"writeKey":{}}', Code.INVALID_TYPE),
        (b'{"batch":[{}],"writeKey":"\\ud800"}', Code.INVALID_UNICODE),
        (b'{"batch":[{}],"context":[]}', Code.INVALID_TYPE),
        (b'{"batch":[{}],"integrations":"x"}', Code.INVALID_TYPE),
        (b'{"batch":[{}],"context":{"a":NaN}}', Code.INVALID_NUMBER),
        (b'{"batch":[{}],"context":{"a":1e999}}', Code.INVALID_NUMBER),
        (b'{"batch":[{}],"context":{"a":"\\udc00"}}', Code.INVALID_UNICODE),
        (b'{"batch":[{}],"context":' + b'{"a":' * 33 + b"1" + b"}" * 34, Code.TOO_DEEP),
        (b'{"batch":[{}],"context":' + b'{"a":' * 3000 + b"1" + b"}" * 3001, Code.TOO_DEEP),
    ],
)
def test_a_body_that_is_none_is_refused_whole(body: bytes, code: Code) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        read_request(body)

    assert caught.value.code == code
    assert caught.value.message == str(caught.value)


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
def test_a_single_item_that_is_none_is_refused_whole(body: bytes, code: Code) -> None:
    with pytest.raises(MalformedBodyError) as caught:
        read_request(body, item_type="track")

    assert caught.value.code == code


def test_a_byte_order_mark_is_passed_over() -> None:
    assert len(check(b'\xef\xbb\xbf{"batch":[' + GOOD.encode() + b"]}").accepted) == 1


def test_as_many_items_as_the_limit_are_taken_and_one_more_is_too_many() -> None:
    limits = Limits(batch_items=3)

    assert len(check(f'{{"batch":[{",".join([GOOD] * 3)}]}}', limits=limits).accepted) == 3
    for item in (GOOD, "NaN"):
        with pytest.raises(TooManyItemsError, match="more than 3 items"):
            check(f'{{"batch":[{",".join([item] * 4)}]}}', limits=limits)


def test_items_beyond_the_limit_are_not_read_where_each_is_read_by_itself() -> None:
    with pytest.raises(TooManyItemsError):
        read_request(b'{"batch":[NaN,1,2,3,tru', limits=Limits(batch_items=3))


def test_millions_of_items_are_too_many_before_they_are_read() -> None:
    with pytest.raises(TooManyItemsError):
        read_request(b'{"batch":[' + b"0," * 2_000_000 + b"0]}")


def test_many_commas_alone_are_no_items() -> None:
    item = raw("properties", '{"a":[' + "1," * 150_000 + "1]}")
    verdicts = check(f'{{"batch":[{",".join([item] * 4)}]}}', limits=Limits(item_bytes=400_000))

    assert len(verdicts.accepted) == 4
