"""Rules for private data: what of an item is stored, by examples and against a model on decoded values."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import HttpError
from gateway.ingest.envelope import parse_envelope
from gateway.ingest.field_rules import WITHHELD, FieldRules
from gateway.ingest.validate import BatchResult, validate_items
from schemas.field_rules import FieldRule, hashed, names_of
from schemas.items import Identify, Track
from tests.unit.gateway.ingest.checking import NOON, VALID, accepted, check, check_batch, rejected
from tests.unit.gateway.ingest.json_texts import bodies

KEY = b"a key of 32 bytes, as they are.."
IDENTIFY = '{"type":"identify","userId":"u","messageId":"m"}'
FIELDS = ("properties", "traits", "context", "integrations")


def rules(**actions: str) -> FieldRules:
    return FieldRules([FieldRule(path, action) for path, action in actions.items()], KEY)  # type: ignore[arg-type]  # literals


def stored(values: str, *given_rules: FieldRule) -> str:
    """Return what is stored of `properties`, sent as the JSON text *values*."""
    result = check(f'{{"batch":[{VALID[:-1]},"properties":{values}}}]}}')
    item = accepted(FieldRules(given_rules, KEY).apply(result))
    assert isinstance(item, Track)
    return bytes(item.properties).decode()


def mac(text: str) -> str:
    return hashed(KEY, text)


@pytest.mark.parametrize(
    ("sent", "rule", "kept"),
    [
        ('{"a": 1.50, "b": 1e2}', FieldRule("properties.a", "drop"), '{"b":1e2}'),
        ('{"a": {"b": 1, "c": 2}}', FieldRule("properties.a.b", "drop"), '{"a":{"c":2}}'),
        ('{"a": [{"b": 1}, {"c": 2}, 3]}', FieldRule("properties.a.b", "drop"), '{"a":[{},{"c":2},3]}'),
        ('{"a": "x"}', FieldRule("properties", "drop"), "{}"),
        ('{"a": "Ada"}', FieldRule("properties.a", "hash"), f'{{"a":"{mac("Ada")}"}}'),
        ('{"a": 42}', FieldRule("properties.a", "hash"), f'{{"a":"{mac("42")}"}}'),
        ('{"a": "42"}', FieldRule("properties.a", "hash"), f'{{"a":"{mac("42")}"}}'),
        (r'{"a": "\u0041da"}', FieldRule("properties.a", "hash"), f'{{"a":"{mac("Ada")}"}}'),
        ('{"a": null}', FieldRule("properties.a", "hash"), '{"a":null}'),
        ('{"a": {"b": "x"}}', FieldRule("properties.a", "hash"), f'{{"a":{{"b":"{mac("x")}"}}}}'),
        ('{"a": ["x", ["y"]]}', FieldRule("properties.a", "hash"), f'{{"a":["{mac("x")}",["{mac("y")}"]]}}'),
        ('{"a": "192.168.0.1"}', FieldRule("properties.a", "truncate", 7), '{"a":"192.168"}'),
        ('{"a": "äöü😀", "b": "äöü😀"}', FieldRule("properties.a", "truncate", 2), '{"a":"äö","b":"äöü😀"}'),
        ('{"a": 123456}', FieldRule("properties.a", "truncate", 3), '{"a":"123"}'),
        ('{"a": 12}', FieldRule("properties.a", "truncate", 3), '{"a":12}'),
        ('{"a.b": 1, "a": {"b": 2}}', FieldRule(r"properties.a\.b", "drop"), '{"a":{"b": 2}}'),
        ('{"a": {"b": 1}, "a": {"c": 2}}', FieldRule("properties.a.b", "drop"), '{"a":{"c":2}}'),
        ('{"\\u0061": 1}', FieldRule("properties.a", "drop"), "{}"),
        ('{"A": 1}', FieldRule("properties.a", "drop"), '{"A":1}'),
        ('{"a": "a street"}', FieldRule("properties.a.b", "drop"), '{"a":"a street"}'),
    ],
)
def test_rule_changes_the_value_of_its_path_alone(sent: str, rule: FieldRule, kept: str) -> None:
    assert stored(sent, rule) == kept


def test_rule_of_the_longest_path_counts() -> None:
    sent = '{"a": {"b": "xyz", "c": {"d": "xyz"}}}'

    kept = stored(sent, FieldRule("properties.a", "hash"), FieldRule("properties.a.c", "truncate", 1))

    assert kept == f'{{"a":{{"b":"{mac("xyz")}","c":{{"d":"x"}}}}}}'


def test_rule_that_hashes_drops_without_a_key() -> None:
    result = FieldRules([FieldRule("properties.a", "hash")], b"").apply(
        check(f'{{"batch":[{VALID[:-1]},"properties":{{"a":"secret"}}}}]}}')
    )

    assert b"secret" not in records(result)


def test_rules_apply_to_each_field_and_to_the_context_of_the_batch() -> None:
    result = check_batch(
        VALID[:-1] + ',"anonymousId":"an"}',
        IDENTIFY[:-1] + ',"traits":{"email":"e"},"context":{"ip":"own"}}',
        IDENTIFY[:-1] + ',"integrations":{"All":false}}',
        context={"ip": "10.0.0.1", "os": "x"},
    )
    applied = rules(anonymousId="hash", **{"context.ip": "drop", "traits.email": "hash", "integrations": "drop"}).apply(
        result
    )

    first, second, third = applied.accepted
    assert (first.anonymous_id, bytes(first.context)) == (mac("an"), b'{"os":"x"}')
    assert isinstance(second, Identify)
    assert (bytes(second.traits), bytes(second.context)) == (f'{{"email":"{mac("e")}"}}'.encode(), b"{}")
    assert (bytes(third.context), bytes(third.integrations)) == (b'{"os":"x"}', b"{}")


def test_dropped_anonymous_id_is_missing() -> None:
    item = accepted(rules(anonymousId="drop").apply(check(f'{{"batch":[{VALID[:-1]},"anonymousId":"an"}}]}}')))

    assert item.anonymous_id is None


def test_content_of_a_rejected_item_keeps_the_rules() -> None:
    sent = '{"type":"page","userId":"u","anonymousId":"an","properties":{"email":"e","url":"/"},"n":NaN}'

    item = rejected(rules(anonymousId="hash", **{"properties.email": "drop"}).apply(check(f'{{"batch":[{sent}]}}')))

    assert json.loads(item.content) == {
        "type": "page",
        "userId": "u",
        "anonymousId": mac("an"),
        "properties": {"url": "/"},
        "n": None,
    }


def test_text_in_place_of_an_object_is_not_stored() -> None:
    """It may be the JSON of the object, encoded twice."""
    sent = VALID[:-1] + r',"properties":"{\"email\":\"secret\"}","context":"kept"}'

    item = rejected(rules(**{"properties.email": "drop"}).apply(check(f'{{"batch":[{sent}]}}')))

    assert b"secret" not in item.content
    assert json.loads(item.content)["context"] == "kept"


@pytest.mark.parametrize(
    "sent", ['"secret"', '["secret"]', '{"properties":{"a":"secret"},"b":' + "[" * 2000 + "]" * 2000 + "}"]
)
def test_rejected_item_to_which_rules_cannot_be_applied_is_withheld(sent: str) -> None:
    item = rejected(rules(**{"properties.a": "drop"}).apply(check(f'{{"batch":[{sent}]}}')))

    assert item.content == b""
    assert item.message.endswith(WITHHELD)


def records(result: BatchResult) -> bytes:
    """Return everything that is stored of *result*."""
    return b"".join(
        [*(msgspec.json.encode(item) for item in result.accepted), *(each.content for each in result.rejected)]
    )


NAMES = ("email", "a", "d", "k", "b", "price", "library", "name", "All", "plan", "gone", "n", "id")
paths = st.lists(st.sampled_from(NAMES), max_size=2).flatmap(
    lambda names: st.sampled_from(FIELDS).map(lambda field: ".".join([field, *names]))
)
field_rules = st.lists(
    st.builds(FieldRule, paths | st.just("anonymousId"), st.sampled_from(["drop", "hash", "truncate"]), st.just(2)),
    min_size=1,
    max_size=4,
    unique_by=lambda rule: rule.path,
)


def model(value: Any, at: tuple[str, ...], given_rules: dict[tuple[str, ...], FieldRule]) -> Any:
    """Return what is stored of *value* at the path *at*; `...` for nothing."""
    found = [given_rules[at[:length]] for length in range(len(at) + 1) if at[:length] in given_rules]
    if any(rule.action == "drop" for rule in found):
        return ...
    match value:
        case dict():
            kept = {name: model(member, (*at, name), given_rules) for name, member in value.items()}
            return {name: member for name, member in kept.items() if member is not ...}
        case list():
            return [model(element, at, given_rules) for element in value]
        case None:
            return None
        case _:
            return leaf(value, found[-1]) if found else value


def leaf(value: Any, rule: FieldRule) -> Any:
    """Return what is stored of a text, number or boolean."""
    text = value if isinstance(value, str) else value.text
    return mac(text) if rule.action == "hash" else text[:2] if len(text) > 2 else value


class Number:
    """A number or boolean, with its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and self.text == other.text

    __hash__ = None  # type: ignore[assignment]  # never a member of a set


def load(text: bytes) -> Any:
    """Return decoded JSON whose numbers keep their text."""

    def kept(value: Any) -> Any:
        match value:
            case bool():
                return Number(json.dumps(value))
            case dict():
                return {name: kept(member) for name, member in value.items()}
            case list():
                return [kept(element) for element in value]
            case _:
                return value

    return kept(json.loads(text, parse_int=Number, parse_float=Number))


@given(bodies(broken=True), field_rules)
@example(
    '{"batch":[{"type":"track","userId":"u","event":"e","properties":{"d":1,"d":2}}]}',
    [FieldRule("properties.d", "hash")],
)
def test_what_is_stored_equals_the_model(body: str, given_rules: list[FieldRule]) -> None:
    try:
        envelope = parse_envelope(body.encode())
    except (HttpError, UnicodeEncodeError):
        return
    result = validate_items(envelope, project_id="p", received_at=NOON)
    by_names = {names_of(rule.path): rule for rule in given_rules}

    applied = FieldRules(given_rules, KEY).apply(result)

    for sent, kept in zip(result.accepted, applied.accepted, strict=True):
        for name, value in load(msgspec.json.encode(sent)).items():
            expected = model(value, (name,), by_names) if name in FIELDS or name == "anonymousId" else value
            # Empty objects are left out of a record.
            assert load(msgspec.json.encode(kept)).get(name, ...) in ([expected] if expected != {} else [{}, ...])
    for item, kept_item in zip(result.rejected, applied.rejected, strict=True):
        assert kept_item.content == b"" or isinstance(json.loads(kept_item.content), dict)
        assert (kept_item.code, kept_item.index, kept_item.message_id) == (item.code, item.index, item.message_id)
        for rule in given_rules:
            if rule.action == "drop" and kept_item.content:
                assert is_gone(json.loads(kept_item.content), names_of(rule.path))


def is_gone(value: Any, names: tuple[str, ...]) -> bool:
    """Return whether *value* has nothing at the path *names*."""
    if isinstance(value, list):
        return all(is_gone(element, names) for element in value)
    if not isinstance(value, dict) or names[0] not in value:
        return True
    return len(names) > 1 and is_gone(value[names[0]], names[1:])
