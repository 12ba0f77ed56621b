"""Properties of any request: every item has one result, fast and slow path agree, accepted items are unchanged."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import HttpError
from gateway.ingest import envelope, validate
from gateway.ingest.envelope import Envelope, Limits, parse_envelope
from gateway.ingest.rejections import RejectedItem
from gateway.ingest.rules import PathType
from gateway.ingest.validate import BatchResult, validate_items
from schemas.items import Item, Track
from schemas.records import decode_item, encode_item
from schemas.times import parse_time
from tests.unit.gateway.ingest.json_texts import bodies, items

NOON = parse_time("2026-01-31T12:00:00Z")
LIMITS = Limits(batch_items=3)
item_types = st.sampled_from([None, "track", "identify", "page"])


@dataclass(frozen=True)
class Outcome:
    """Everything that a client can observe of a request, except random IDs."""

    error: tuple[str, str, str] | None = None
    write_key: str | None = None
    accepted: tuple[tuple[int, Item], ...] = ()
    rejected: tuple[RejectedItem, ...] = ()


def outcome(body: bytes, item_type: PathType | None) -> Outcome:
    try:
        parsed = parse_envelope(body, item_type=item_type, limits=LIMITS)
    except HttpError as error:
        return Outcome(error=(type(error).__name__, error.code, str(error)))
    result = validate_items(parsed, project_id="p", received_at=NOON, limits=LIMITS)
    accepted = tuple(zip(result.accepted_indexes, map(without_random_id, result.accepted), strict=True))
    return Outcome(None, parsed.write_key, accepted, tuple(result.rejected))


def without_random_id(item: Item) -> Item:
    """Return *item* without a random ID, recognised as a UUID of version 4; the IDs of the strategies are not."""
    return (
        msgspec.structs.replace(item, message_id="")
        if item.message_id[14:15] == "4" and len(item.message_id) == 36
        else item
    )


def disable_the_fast_path(patch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise msgspec.DecodeError

    patch.setattr(validate, "_read_fast", lambda content, sender: None)  # noqa: ARG005
    patch.setattr(envelope, "_decode_batch_and_items", fail)
    patch.setattr(envelope, "_decode_batch", fail)
    patch.setattr(envelope, "_decode_unsplit_batch", fail)
    patch.setattr(envelope, "_decode_key", fail)


def check(body: bytes, item_type: PathType | None = None) -> tuple[Envelope, BatchResult]:
    parsed = parse_envelope(body, item_type=item_type)
    return parsed, validate_items(parsed, project_id="p", received_at=NOON, limits=Limits())


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), item_types)
@example(b"", None)
@example(b"", "track")
@example(b"\xef\xbb\xbf\xef\xbb\xbf{}", None)
def test_any_bytes_give_a_result_or_an_http_error(body: bytes, item_type: PathType | None) -> None:
    outcome(body, item_type)


@given(bodies(broken=True).map(str.encode) | items(broken=True).map(str.encode), item_types)
def test_every_item_has_exactly_one_result(body: bytes, item_type: PathType | None) -> None:
    try:
        parsed, result = check(body, item_type)
    except HttpError:
        return
    indexes = [*result.accepted_indexes, *(item.index for item in result.rejected)]

    assert sorted(indexes) == list(range(len(parsed.items)))
    assert len(result.accepted) == len(result.accepted_indexes)
    for item in result.rejected:
        assert item.content == bytes(parsed.items[item.index])
        assert item.content in body
        assert item.message


@given(bodies().map(str.encode) | items().map(str.encode), item_types)
def test_fast_and_slow_path_agree(body: bytes, item_type: PathType | None) -> None:
    fast = outcome(body, item_type)
    with pytest.MonkeyPatch.context() as patch:
        disable_the_fast_path(patch)
        slow = outcome(body, item_type)

    assert fast == slow


@given(bodies(broken=True).map(str.encode), item_types)
def test_fast_and_slow_path_agree_on_invalid_json(body: bytes, item_type: PathType | None) -> None:
    fast = outcome(body, item_type)
    with pytest.MonkeyPatch.context() as patch:
        disable_the_fast_path(patch)
        slow = outcome(body, item_type)

    assert fast == slow


@given(st.integers(-(2**80), 2**80) | st.sampled_from([-(2**63), -(2**63) - 1, 2**64, 2**64 - 1]))
def test_integers_become_text_if_they_do_not_fit_in_64_bits(number: int) -> None:
    body = b'{"batch":[{"type":"track","userId":"u","event":"e","properties":{"n":%d}}]}' % number

    assert stored_number(body) == (number if -(2**63) <= number < 2**64 else str(number))


@given(
    st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,6})?", fullmatch=True)
)
@example("1e308")
@example("1e309")
@example("0." + "0" * 400 + "1e500")
def test_other_numbers_become_text_if_they_are_not_finite(number: str) -> None:
    if number.lstrip("-").isdigit():
        return
    body = b'{"batch":[{"type":"track","userId":"u","event":"e","properties":{"n": %s }}]}' % number.encode()

    assert stored_number(body) == (float(number) if math.isfinite(float(number)) else number)


def stored_number(body: bytes) -> object:
    [item] = check(body)[1].accepted
    assert isinstance(item, Track)
    return json.loads(bytes(item.properties))["n"]


@given(items().map(str.encode))
def test_accepted_items_are_read_as_they_were_written(content: bytes) -> None:
    for item in check(b'{"batch":[' + content + b"]}")[1].accepted:
        assert decode_item(encode_item(item)) == item
