"""Whatever is sent gets a verdict, the fast and the exact reading agree, and what is accepted is what was sent."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.ingest import envelope, validate
from gateway.ingest.envelope import Limits, Request, read_request
from gateway.ingest.rejections import RejectedItem, RequestError
from gateway.ingest.rules import ItemType
from gateway.ingest.validate import BatchResult, check_items
from schemas.items import Item, Track
from schemas.records import decode_item, encode_item
from schemas.times import parse_time
from tests.unit.gateway.ingest.json_texts import bodies, items

NOON = parse_time("2026-01-31T12:00:00Z")
LIMITS = Limits(batch_items=3)
item_types = st.sampled_from([None, "track", "identify"])


@dataclass(frozen=True)
class Outcome:
    """Everything that a caller can see of a request, without the ids that are random."""

    error: tuple[str, str, str] | None = None
    write_key: str | None = None
    accepted: tuple[tuple[int, Item], ...] = ()
    refused: tuple[RejectedItem, ...] = ()


def outcome(body: bytes, item_type: ItemType | None) -> Outcome:
    try:
        request = read_request(body, item_type=item_type, limits=LIMITS)
    except RequestError as error:
        return Outcome(error=(type(error).__name__, error.code, error.message))
    verdicts = check_items(request, project_id="p", received_at=NOON, limits=LIMITS)
    accepted = tuple((index, without_random_id(item)) for index, item in verdicts.accepted)
    return Outcome(None, request.write_key, accepted, tuple(verdicts.refused))


def without_random_id(item: Item) -> Item:
    """Random ids alone have the form of a version 4 UUID; those of the texts do not."""
    return (
        msgspec.structs.replace(item, message_id="")
        if item.message_id[14:15] == "4" and len(item.message_id) == 36
        else item
    )


def everything_exactly(patch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object) -> None:
        raise msgspec.DecodeError

    patch.setattr(validate, "_read_fast", lambda content, index, sender: None)  # noqa: ARG005
    patch.setattr(envelope, "_decode_whole", give_up)
    patch.setattr(envelope, "_decode_envelope", give_up)
    patch.setattr(envelope, "_decode_members", give_up)


def check(body: bytes, item_type: ItemType | None = None) -> tuple[Request, BatchResult]:
    request = read_request(body, item_type=item_type)
    return request, check_items(request, project_id="p", received_at=NOON, limits=Limits())


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), item_types)
@example(b"", None)
@example(b"", "track")
@example(b"\xef\xbb\xbf\xef\xbb\xbf{}", None)
def test_any_bytes_are_a_request_or_a_request_error(body: bytes, item_type: ItemType | None) -> None:
    outcome(body, item_type)


@given(bodies(broken=True).map(str.encode) | items(broken=True).map(str.encode), item_types)
def test_any_json_and_nearly_json_gives_each_item_one_verdict(body: bytes, item_type: ItemType | None) -> None:
    try:
        request, verdicts = check(body, item_type)
    except RequestError:
        return
    judged = [index for index, _ in verdicts.accepted] + [refusal.index for refusal in verdicts.refused]

    assert sorted(judged) == list(range(len(request.items)))
    for refusal in verdicts.refused:
        assert refusal.content == bytes(request.items[refusal.index])
        assert refusal.content in body
        assert refusal.message


@given(bodies().map(str.encode) | items().map(str.encode), item_types)
def test_the_fast_and_the_exact_reading_agree(body: bytes, item_type: ItemType | None) -> None:
    usual = outcome(body, item_type)
    with pytest.MonkeyPatch.context() as patch:
        everything_exactly(patch)
        exact = outcome(body, item_type)

    assert usual == exact


@given(bodies(broken=True).map(str.encode), item_types)
def test_the_fast_and_the_exact_reading_agree_on_what_is_no_json(body: bytes, item_type: ItemType | None) -> None:
    usual = outcome(body, item_type)
    with pytest.MonkeyPatch.context() as patch:
        everything_exactly(patch)
        exact = outcome(body, item_type)

    assert usual == exact


@given(items().map(str.encode))
def test_what_is_accepted_is_what_was_sent(content: bytes) -> None:
    _, verdicts = check(b'{"batch":[' + content + b"]}")
    for _, item in verdicts.accepted:
        assert decode_item(encode_item(item)) == item

        sent = json.loads(content, parse_int=str, parse_float=str)
        stored = json.loads(encode_item(item), parse_int=str, parse_float=str)
        values = "properties" if isinstance(item, Track) else "traits"
        for name in ("userId", "event", "anonymousId", values, "context", "integrations"):
            if name in stored:
                assert stored[name] == sent[name]
        assert stored.get(values, {}) == (sent.get(values) or {})


@given(st.integers(-(2**80), 2**80) | st.sampled_from([-(2**63), -(2**63) - 1, 2**64, 2**64 - 1]))
def test_integers_are_accepted_where_they_fit_64_bits(number: int) -> None:
    body = b'{"batch":[{"type":"track","userId":"u","event":"e","properties":{"n":%d}}]}' % number

    assert len(check(body)[1].accepted) == (-(2**63) <= number < 2**64)


@given(
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,6})?", fullmatch=True)
)
@example("1e308")
@example("1e309")
@example("0." + "0" * 400 + "1e500")
def test_other_numbers_are_accepted_where_they_are_finite(number: str) -> None:
    if number.lstrip("-").isdigit():
        return
    body = b'{"batch":[{"type":"track","userId":"u","event":"e","properties":{"n": %s }}]}' % number.encode()

    assert len(check(body)[1].accepted) == math.isfinite(float(number))
