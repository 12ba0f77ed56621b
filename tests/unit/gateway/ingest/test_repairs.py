"""What is repaired in an item, and the warnings that name it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from gateway.errors import HttpError
from gateway.ingest.rejections import Code
from schemas.items import Identify, ItemWarning, Track
from schemas.records import encode_item
from tests.unit.gateway.ingest.checking import NOON_TEXT, VALID, accepted, changed, check, check_batch, raw, rejected
from tests.unit.gateway.ingest.json_texts import items


def warned(item: str, **beside: object) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return the only item as it is stored, and its warnings."""
    found = accepted(check_batch(item, **beside))
    return json.loads(encode_item(found)), [(warning.code, warning.field) for warning in found.warnings]


@pytest.mark.parametrize(
    ("name", "sent", "stored"),
    [
        ("userId", "42", "42"),
        ("userId", "-7", "-7"),
        ("userId", "12345678901234567890123", "12345678901234567890123"),
        ("messageId", "0", "0"),
        ("anonymousId", "9", "9"),
    ],
)
def test_number_as_id_becomes_its_decimal_text(name: str, sent: str, stored: str) -> None:
    item, warnings = warned(raw(name, sent))

    assert item[name] == stored
    assert warnings == [("number_as_id", name)]


@pytest.mark.parametrize("name", ["properties", "context", "integrations"])
@pytest.mark.parametrize("sent", ["[]", "[ \n]"])
def test_empty_array_of_php_is_an_empty_object(name: str, sent: str) -> None:
    item, warnings = warned(raw(name, sent))

    assert item.get(name, {}) == {}
    assert warnings == [("empty_array_as_object", name)]


def test_empty_array_as_traits_is_an_empty_object() -> None:
    assert warned(changed(type="identify", traits=[]))[1] == [("empty_array_as_object", "traits")]


def test_time_in_another_form_is_that_time() -> None:
    item, warnings = warned(changed(timestamp=1769857200))

    assert item["timestamp"] == item["originalTimestamp"] == "2026-01-31T11:00:00.000000Z"
    assert warnings == [("timestamp_reformatted", "timestamp")]
    assert item["warnings"][0]["sent"] == "1769857200"


@pytest.mark.parametrize("sent", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "next week", "", 7, {}])
def test_time_that_means_none_is_the_time_received(sent: object) -> None:
    item, warnings = warned(changed(timestamp=sent, messageId=...))

    assert item["timestamp"] == NOON_TEXT
    assert "originalTimestamp" not in item
    assert warnings == [("timestamp_replaced", "timestamp")]
    assert item["warnings"][0].get("sent", "") == (sent if isinstance(sent, str) else json.dumps(sent))


def test_item_whose_time_means_none_has_a_random_message_id() -> None:
    item = changed(timestamp="0001-01-01T00:00:00Z", messageId=...)

    assert warned(item)[0]["messageId"] != warned(item)[0]["messageId"]


def test_item_whose_time_is_read_has_the_message_id_of_its_retry() -> None:
    item = changed(timestamp=1769857200, messageId=..., properties=[])

    assert warned(item)[0]["messageId"] == warned(item)[0]["messageId"]


def test_unreadable_sent_at_corrects_no_clock() -> None:
    one_hour_ago = "2026-01-31T11:00:00Z"
    item, warnings = warned(changed(timestamp=one_hour_ago, sentAt="no time"), sentAt=one_hour_ago)

    assert (item["timestamp"], "sentAt" in item) == ("2026-01-31T11:00:00.000000Z", False)
    assert warnings == [("sent_at_ignored", "sentAt")]
    item, warnings = warned(changed(timestamp=one_hour_ago), sentAt=1769857200)
    assert item["timestamp"] == NOON_TEXT
    assert warnings == [("timestamp_reformatted", "sentAt")]


def test_fault_beside_the_items_concerns_those_without_their_own_field() -> None:
    own = changed(context={"a": 1}, integrations={}, sentAt="2026-01-31T12:00:00Z", messageId="own")
    result = check_batch(VALID, own, context=5, integrations=[], sentAt="soon")

    assert [[(each.code, each.field) for each in item.warnings] for item in result.accepted] == [
        [("sent_at_ignored", "sentAt"), ("field_ignored", "context"), ("empty_array_as_object", "integrations")],
        [],
    ]


def test_values_of_the_batch_are_repaired() -> None:
    result = check(f'{{"batch":[{VALID}],"context":{{"a":NaN,"b":[1e999],"c":"\\ud800"}}}}')

    [item] = result.accepted
    assert json.loads(bytes(item.context)) == {"a": None, "b": ["1e999"], "c": "\ufffd"}
    assert [(each.code, each.field) for each in item.warnings] == [
        ("not_a_number", "context.a"),
        ("invalid_unicode", "context.c"),
        ("number_as_text", "context.b[0]"),
    ]


@pytest.mark.parametrize(
    "context", ['{"a":' * 32 + "1" + "}" * 32, '{"a":[' + ",".join(["{}"] * 40) + "]}", '{"a":"[[{"}', "{}"]
)
def test_context_of_the_batch_that_needs_no_repair_is_kept(context: str) -> None:
    [item] = check(f'{{"batch":[{VALID}],"context":{context}}}').accepted

    assert (bytes(item.context).decode(), item.warnings) == (context, ())


def test_context_of_the_batch_that_nests_too_deep_is_left_out() -> None:
    for levels in (33, 3000):
        result = check(f'{{"batch":[{VALID}],"context":' + '{"a":' * levels + "1" + "}" * levels + "}")
        [item] = result.accepted
        assert (bytes(item.context), item.warnings) == (b"{}", (ItemWarning(item.warnings[0].code, "context"),))
        assert item.warnings[0].code == "field_ignored"


@pytest.mark.parametrize(
    "user_id",
    [
        "undefined",
        "null",
        "NULL",
        "None",
        "none",
        "NaN",
        "nan",
        "true",
        "[object Object]",
        "\u200b",
        "ada\u200b",
        "a\tb",
    ],
)
def test_user_id_that_names_nobody_is_stored_with_a_warning(user_id: str) -> None:
    item, warnings = warned(changed(userId=user_id))

    assert item["userId"] == user_id
    assert warnings == [("suspicious_user_id", "userId")]


@pytest.mark.parametrize("user_id", ["u", "Ada Lovelace", "émile", "0", "Nullmann", "undefined-7", "😀", "ada\u00e9"])
def test_usual_user_id_has_no_warning(user_id: str) -> None:
    assert warned(changed(userId=user_id))[1] == []


def test_unpaired_surrogate_in_an_id_is_replaced() -> None:
    item, warnings = warned(raw("userId", '"\\ud83d"'))

    assert (item["userId"], warnings) == ("\ufffd", [("invalid_unicode", "userId")])


def test_fault_in_a_field_that_is_not_stored_has_no_warning() -> None:
    assert warned(raw("extra", '{"a":[NaN,1e999,"\\ud800"]}'))[1] == []


def test_repaired_items_do_not_affect_the_rest_of_their_batch() -> None:
    result = check_batch(*[VALID] * 40, changed(userId=5), *[VALID] * 59)

    assert [len(item.warnings) for item in result.accepted] == [0] * 40 + [1] + [0] * 59
    assert result.has_warnings


def test_number_with_a_fraction_is_no_id_and_the_message_says_so() -> None:
    found = rejected(check_batch(raw("userId", "4.0")))

    assert (found.code, found.field) == (Code.INVALID_TYPE, "userId")
    assert found.message == "`userId` must be a string or an integer. Send other numbers as strings."


def differences(sent: Any, stored: Any, path: str) -> Iterator[str]:
    """Yield the path of each value that differs."""
    if isinstance(sent, dict) and isinstance(stored, dict) and sent.keys() == stored.keys():
        for name in sent:
            yield from differences(sent[name], stored[name], f"{path}.{name}")
    elif isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        for index, (one, other) in enumerate(zip(sent, stored, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif sent != stored:
        yield path


def exact(text: bytes | str) -> Any:
    """Return JSON with numbers as a pair, so that 1 differs from "1"."""
    return json.loads(text, parse_int=number, parse_float=number, parse_constant=number)


def number(text: str) -> tuple[str, str]:
    return "number", text


@given(items().map(str.encode))
def test_stored_items_equal_what_was_sent_but_for_what_the_warnings_name(content: bytes) -> None:
    try:
        result = check(b'{"batch":[' + content + b"]}")
    except HttpError:
        return
    for item in result.accepted:
        assert isinstance(item, Track | Identify)
        sent, stored = exact(content), exact(encode_item(item))
        values = "properties" if isinstance(item, Track) else "traits"
        named = [warning.field for warning in item.warnings]
        for name in ("userId", "event", "messageId", "anonymousId", values, "context", "integrations"):
            before = sent.get(name)
            if name in stored and before is not None:
                for path in differences(before, stored[name], name):
                    assert any(path.startswith(field) for field in named), (path, named)
            elif before not in (None, {}) and name in (values, "context", "integrations"):
                assert name in named
