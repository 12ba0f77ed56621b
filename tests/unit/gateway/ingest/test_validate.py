"""The content of accepted items and of rejected ones."""

from __future__ import annotations

import uuid

import pytest

from gateway.ingest.envelope import Limits, parse_envelope
from gateway.ingest.rejections import Code
from gateway.ingest.rules import PathType
from gateway.ingest.validate import validate_items
from schemas.items import Identify, Track
from tests.unit.gateway.ingest.checking import (
    NOON,
    NOON_TEXT,
    VALID,
    accepted,
    changed,
    check,
    check_batch,
    raw,
    rejected,
)


def test_track_has_every_field_of_its_record() -> None:
    item = accepted(
        check_batch(
            '{"type":"track","userId":"u","event":"Order Completed","messageId":"m","anonymousId":"a",'
            '"timestamp":"2026-01-31T10:00:00+01:00","properties":{"price": 1.50},"context":{"ip":"::1"},'
            '"integrations":{"All":false},"traits":{"x":1},"other":1}',
            sentAt="2026-01-31T11:00:00Z",
        )
    )

    assert isinstance(item, Track)
    assert (item.project_id, item.message_id, item.user_id, item.event) == ("p", "m", "u", "Order Completed")
    assert item.anonymous_id == "a"
    assert item.original_timestamp == "2026-01-31T09:00:00.000000Z"
    assert item.sent_at == "2026-01-31T11:00:00.000000Z"
    assert item.received_at == NOON_TEXT
    assert item.timestamp == "2026-01-31T10:00:00.000000Z"
    assert (bytes(item.properties), bytes(item.context)) == (b'{"price": 1.50}', b'{"ip":"::1"}')
    assert bytes(item.integrations) == b'{"All":false}'


def test_identify_keeps_its_traits_as_raw_json() -> None:
    item = accepted(check_batch('{"type":"identify","userId":"u","traits":{"gone":null,"n":1e2}}'))

    assert isinstance(item, Identify)
    assert bytes(item.traits) == b'{"gone":null,"n":1e2}'
    assert (item.timestamp, item.original_timestamp, item.sent_at) == (NOON_TEXT, None, None)


@pytest.mark.parametrize("null", ["", ',"properties":null,"context":null,"integrations":null,"timestamp":null'])
def test_missing_and_null_objects_are_empty(null: str) -> None:
    item = accepted(check_batch(VALID[:-1] + null + "}"))

    assert isinstance(item, Track)
    assert [bytes(value) for value in (item.properties, item.context, item.integrations)] == [b"{}"] * 3
    assert item.timestamp == NOON_TEXT


def test_items_without_context_and_integrations_get_those_of_the_batch() -> None:
    own = raw("context", '{"own":1}')
    result = check_batch(VALID, own, raw("context", "null"), context={"all": 1}, integrations={"X": True})

    assert [bytes(item.context) for item in result.accepted] == [b'{"all": 1}', b'{"own":1}', b'{"all": 1}']
    assert {bytes(item.integrations) for item in result.accepted} == {b'{"X": true}'}


def test_last_of_two_members_with_one_name_wins() -> None:
    item = accepted(check_batch(raw("userId", '"second"')))
    assert item.user_id == "second"

    item = accepted(check('{"batch":5,"sentAt":"2026-01-31","batch":[' + VALID + '],"sentAt":null}'))
    assert item.sent_at is None


def test_sentat_of_the_item_overrides_that_of_the_batch() -> None:
    late = changed(timestamp="2026-01-31T08:00:00Z", sentAt="2026-01-31T09:00:00Z")
    item = accepted(check_batch(late, sentAt="2026-01-31T12:00:00Z"))

    assert (item.timestamp, item.sent_at) == ("2026-01-31T11:00:00.000000Z", "2026-01-31T09:00:00.000000Z")


@pytest.mark.parametrize("sent_at", ["no time", "", "2026-01-29T11:59:59Z"])
def test_invalid_or_distant_sentat_corrects_nothing(sent_at: str) -> None:
    item = accepted(check_batch(changed(timestamp="2026-01-31T08:00:00Z"), sentAt=sent_at))

    assert item.timestamp == item.original_timestamp == "2026-01-31T08:00:00.000000Z"


def test_timestamp_far_in_the_future_becomes_receivedat_and_is_kept_as_original() -> None:
    item = accepted(check_batch(changed(timestamp="2030-01-01")))

    assert (item.timestamp, item.original_timestamp) == (NOON_TEXT, "2030-01-01T00:00:00.000000Z")


def test_originaltimestamp_is_used_without_a_timestamp() -> None:
    item = accepted(check_batch(changed(originalTimestamp="2026-01-31T08:00:00Z")))

    assert item.timestamp == "2026-01-31T08:00:00.000000Z"


@pytest.mark.parametrize("item_type", ["track", "identify"])
def test_path_determines_the_type_of_a_single_item(item_type: PathType) -> None:
    body = '  {"writeKey":"w","type":"page","userId":"u","event":"e","sentAt":"2026-01-31","context":{"a":1}}\n'
    item = accepted(check(body, item_type=item_type))

    assert isinstance(item, Track if item_type == "track" else Identify)
    assert (item.sent_at, bytes(item.context)) == ("2026-01-31T00:00:00.000000Z", b'{"a":1}')
    assert parse_envelope(body.encode(), item_type=item_type).write_key == "w"


def test_rejected_single_item_keeps_its_text() -> None:
    item = rejected(check('\n{"writeKey":"w","messageId":"m","userId":"u","event":5,"p":NaN} ', item_type="track"))

    assert (item.index, item.code, item.message_id) == (0, Code.INVALID_TYPE, "m")
    assert item.content == b'{"writeKey":"w","messageId":"m","userId":"u","event":5,"p":NaN}'


@pytest.mark.parametrize(
    ("message_id", "known"),
    [('"m-1"', "m-1"), ("7", None), ('""', None), ("null", None), ('"a\\u0000"', None), ('"\\ud800"', None)],
)
def test_rejected_item_has_its_messageid_if_valid(message_id: str, known: str | None) -> None:
    assert rejected(check_batch(f'{{"type":"page","messageId":{message_id}}}')).message_id == known


def test_rejected_item_that_cannot_be_parsed_has_no_messageid() -> None:
    deep = '{"messageId":"m","a":' + "[" * 3000 + "]" * 3000 + "}"

    assert rejected(check_batch(deep)).message_id is None


CLIENT_TIME = '{"type":"track","userId":"u","event":"e","timestamp":"2026-01-31T11:00:00Z"}'


def derived(body: str, project_id: str = "p", item_type: PathType | None = None) -> list[str]:
    envelope = parse_envelope(body.encode(), item_type=item_type)
    result = validate_items(envelope, project_id=project_id, received_at=NOON, limits=Limits())
    return [item.message_id for item in result.accepted]


def batch_of(*items: str, sent_at: str = "2026-01-31T11:00:01Z") -> str:
    return f'{{"batch":[{",".join(items)}],"sentAt":"{sent_at}"}}'


@pytest.mark.parametrize(
    "retry",
    [
        CLIENT_TIME,
        '{"timestamp":"2026-01-31T11:00:00Z","event":"e","userId":"u","type":"track"}',
        CLIENT_TIME[:-1] + ',"sentAt":"2026-01-31T11:00:09Z"}',
        CLIENT_TIME[:-1] + ',"messageId":null}',
    ],
    ids=["same bytes", "another order", "sentAt", "null"],
)
def test_retry_gets_the_same_messageid_at_another_time_and_place(retry: str) -> None:
    first = derived(batch_of(CLIENT_TIME, sent_at="2026-01-31T11:00:01Z"))

    assert derived(batch_of(VALID, retry, sent_at="2026-01-31T11:00:05Z"))[1:] == first


def test_writekey_of_a_single_item_does_not_change_its_messageid() -> None:
    with_key = CLIENT_TIME[:-1] + ',"writeKey":"w"}'

    assert derived(with_key, item_type="track") == derived(CLIENT_TIME, item_type="track")


def test_equal_items_of_a_request_get_messageids_by_their_order() -> None:
    other = CLIENT_TIME.replace('"e"', '"f"')
    one, two, three = derived(batch_of(CLIENT_TIME, CLIENT_TIME, CLIENT_TIME))

    assert len({one, two, three}) == 3
    assert derived(batch_of(other, CLIENT_TIME, other, CLIENT_TIME))[1::2] == [one, two]


def test_item_that_needs_the_slow_path_counts_once_among_its_equals() -> None:
    item = CLIENT_TIME[:-1] + ',"properties":null}'
    one, two = derived(batch_of(item, item))

    assert derived(batch_of(VALID, item, item))[1:] == [one, two]
    assert derived(batch_of(item)) == [one] == derived(batch_of(item, VALID.replace('"m"', '"n"')))[:1]


def test_derived_messageid_is_stable_across_releases() -> None:
    assert derived(batch_of(CLIENT_TIME, CLIENT_TIME)) == [
        "28f7cad5952fae546b6b70ce3799523e",
        "d8922fdf62f96fb350e28b4932b7fbfc",
    ]


def test_derived_messageid_depends_on_project_type_timestamp_and_content() -> None:
    ids = [
        *derived(batch_of(CLIENT_TIME)),
        *derived(batch_of(CLIENT_TIME), project_id="q"),
        *derived(batch_of(CLIENT_TIME.replace("11:00:00", "11:00:01"))),
        *derived(batch_of(CLIENT_TIME.replace('"e"', '"f"'))),
        *derived(batch_of(CLIENT_TIME[:-1] + ',"properties":{"n":1}}')),
        *derived(CLIENT_TIME, item_type="track"),
        *derived(CLIENT_TIME, item_type="identify"),
    ]

    assert len(set(ids)) == len(ids) == 7


@pytest.mark.parametrize("sent_at", ["", ',"sentAt":"2026-01-31T11:00:01Z"'])
def test_messageid_is_random_without_a_timestamp(sent_at: str) -> None:
    body = f'{{"batch":[{{"type":"identify","userId":"u"{sent_at}}}]{sent_at}}}'
    [one], [other] = derived(body), derived(body)

    assert one != other
    assert uuid.UUID(one).version == 4
