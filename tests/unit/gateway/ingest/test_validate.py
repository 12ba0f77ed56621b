"""What becomes of an item that keeps the rules, and what is said of one that does not."""

from __future__ import annotations

import uuid

import pytest

from gateway.ingest.envelope import Limits, read_request
from gateway.ingest.rejections import Code
from gateway.ingest.rules import ItemType
from gateway.ingest.validate import check_items
from schemas.items import Identify, Track
from tests.unit.gateway.ingest.checking import (
    GOOD,
    NOON,
    NOON_TEXT,
    accepted,
    changed,
    check,
    check_batch,
    raw,
    refused,
)


def test_a_track_becomes_what_the_topic_holds() -> None:
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


def test_an_identify_keeps_its_traits_as_they_came() -> None:
    item = accepted(check_batch('{"type":"identify","userId":"u","traits":{"gone":null,"n":1e2}}'))

    assert isinstance(item, Identify)
    assert bytes(item.traits) == b'{"gone":null,"n":1e2}'
    assert (item.timestamp, item.original_timestamp, item.sent_at) == (NOON_TEXT, None, None)


@pytest.mark.parametrize("null", ["", ',"properties":null,"context":null,"integrations":null,"timestamp":null'])
def test_what_is_missing_or_null_is_empty(null: str) -> None:
    item = accepted(check_batch(GOOD[:-1] + null + "}"))

    assert isinstance(item, Track)
    assert [bytes(value) for value in (item.properties, item.context, item.integrations)] == [b"{}"] * 3
    assert item.timestamp == NOON_TEXT


def test_context_and_integrations_of_the_batch_hold_for_items_without_their_own() -> None:
    own = raw("context", '{"own":1}')
    verdicts = check_batch(GOOD, own, raw("context", "null"), context={"all": 1}, integrations={"X": True})

    assert [bytes(item.context) for _, item in verdicts.accepted] == [b'{"all": 1}', b'{"own":1}', b'{"all": 1}']
    assert {bytes(item.integrations) for _, item in verdicts.accepted} == {b'{"X": true}'}


def test_of_two_members_with_one_name_the_last_counts() -> None:
    item = accepted(check_batch(raw("userId", '"second"')))
    assert item.user_id == "second"

    item = accepted(check('{"batch":5,"sentAt":"2026-01-31","batch":[' + GOOD + '],"sentAt":null}'))
    assert item.sent_at is None


def test_an_items_own_sentat_corrects_its_clock() -> None:
    late = changed(timestamp="2026-01-31T08:00:00Z", sentAt="2026-01-31T09:00:00Z")
    item = accepted(check_batch(late, sentAt="2026-01-31T12:00:00Z"))

    assert (item.timestamp, item.sent_at) == ("2026-01-31T11:00:00.000000Z", "2026-01-31T09:00:00.000000Z")


@pytest.mark.parametrize("sent_at", ["no time", "", "2026-01-29T11:59:59Z"])
def test_a_clock_that_cannot_be_right_corrects_nothing(sent_at: str) -> None:
    item = accepted(check_batch(changed(timestamp="2026-01-31T08:00:00Z"), sentAt=sent_at))

    assert item.timestamp == item.original_timestamp == "2026-01-31T08:00:00.000000Z"


def test_a_time_far_ahead_is_the_time_received_and_the_original_is_kept() -> None:
    item = accepted(check_batch(changed(timestamp="2030-01-01")))

    assert (item.timestamp, item.original_timestamp) == (NOON_TEXT, "2030-01-01T00:00:00.000000Z")


def test_originaltimestamp_stands_in_where_timestamp_is_missing() -> None:
    item = accepted(check_batch(changed(originalTimestamp="2026-01-31T08:00:00Z")))

    assert item.timestamp == "2026-01-31T08:00:00.000000Z"


@pytest.mark.parametrize("item_type", ["track", "identify"])
def test_the_path_gives_the_type_of_a_single_item(item_type: ItemType) -> None:
    body = '  {"writeKey":"w","type":"page","userId":"u","event":"e","sentAt":"2026-01-31","context":{"a":1}}\n'
    item = accepted(check(body, item_type=item_type))

    assert isinstance(item, Track if item_type == "track" else Identify)
    assert (item.sent_at, bytes(item.context)) == ("2026-01-31T00:00:00.000000Z", b'{"a":1}')
    assert read_request(body.encode(), item_type=item_type).write_key == "w"


def test_a_single_bad_item_is_refused_with_its_own_text() -> None:
    refusal = refused(check('\n{"writeKey":"w","messageId":"m","userId":"u","event":"e","p":NaN} ', item_type="track"))

    assert (refusal.index, refusal.code, refusal.message_id) == (0, Code.INVALID_NUMBER, "m")
    assert refusal.content == b'{"writeKey":"w","messageId":"m","userId":"u","event":"e","p":NaN}'


@pytest.mark.parametrize(
    ("message_id", "known"),
    [('"m-1"', "m-1"), ("7", None), ('""', None), ("null", None), ('"a\\u0000"', None), ('"\\ud800"', None)],
)
def test_a_refusal_names_the_messageid_where_it_is_one(message_id: str, known: str | None) -> None:
    assert refused(check_batch(f'{{"type":"page","messageId":{message_id}}}')).message_id == known


def test_a_refusal_without_json_for_its_messageid_has_none() -> None:
    deep = '{"messageId":"m","a":' + "[" * 3000 + "]" * 3000 + "}"

    assert refused(check_batch(deep)).message_id is None


CLIENT_TIME = '{"type":"track","userId":"u","event":"e","timestamp":"2026-01-31T11:00:00Z"}'


def derived(body: str, project_id: str = "p", item_type: ItemType | None = None) -> list[str]:
    request = read_request(body.encode(), item_type=item_type)
    verdicts = check_items(request, project_id=project_id, received_at=NOON, limits=Limits())
    return [item.message_id for _, item in verdicts.accepted]


@pytest.mark.parametrize("sent_at", ['"2026-01-31T11:00:01Z"', '"whenever"'])
def test_the_same_bytes_sent_again_get_the_same_messageid(sent_at: str) -> None:
    body = f'{{"batch":[{{"type":"identify","userId":"u"}}],"sentAt":{sent_at}}}'

    assert derived(body) == derived(body)


def test_a_derived_messageid_stays_what_it_was() -> None:
    assert derived(f'{{"batch":[{CLIENT_TIME}]}}') == ["e95bff70ccbe39729cdf2c6cd41b9a84"]


def test_what_tells_events_apart_is_in_their_messageid() -> None:
    plain = CLIENT_TIME.replace(',"timestamp":"2026-01-31T11:00:00Z"', "")
    ids = [
        *derived(f'{{"batch":[{CLIENT_TIME},{CLIENT_TIME}]}}'),
        *derived(f'{{"batch":[{CLIENT_TIME}]}}', project_id="q"),
        *derived(f'{{"batch":[{CLIENT_TIME}],"sentAt":"2026-01-31T11:00:01Z"}}'),
        *derived(f'{{"batch":[{plain}],"sentAt":"2026-01-31T11:00:01Z"}}'),
        *derived(f'{{"batch":[{plain}],"sentAt":"2026-01-31T11:00:02Z"}}'),
        *derived(CLIENT_TIME, item_type="track"),
        *derived(CLIENT_TIME, item_type="identify"),
    ]

    assert len(set(ids)) == len(ids) == 8


def test_without_a_clients_clock_a_messageid_is_random() -> None:
    body = '{"batch":[{"type":"identify","userId":"u"}]}'
    [one], [other] = derived(body), derived(body)

    assert one != other
    assert uuid.UUID(one).version == 4
