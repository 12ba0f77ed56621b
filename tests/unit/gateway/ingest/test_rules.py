"""Every rule of an item, and the values at its boundary."""

from __future__ import annotations

import pytest

from gateway.ingest.envelope import Limits
from gateway.ingest.rejections import Code
from tests.unit.gateway.ingest.checking import VALID, accepted, changed, check, check_batch, raw, rejected

REJECTED = [
    pytest.param("5", Code.INVALID_ITEM, None, id="a number"),
    pytest.param("null", Code.INVALID_ITEM, None, id="null"),
    pytest.param("[]", Code.INVALID_ITEM, None, id="an array"),
    pytest.param(changed(type=...), Code.TYPE_REQUIRED, "type", id="no type"),
    pytest.param(changed(type=None), Code.TYPE_REQUIRED, "type", id="type null"),
    pytest.param(changed(type=1), Code.INVALID_TYPE, "type", id="type a number"),
    *(
        pytest.param(changed(type=kind), Code.UNSUPPORTED_TYPE, "type", id=f"type {kind}")
        for kind in ("page", "screen", "group", "alias")
    ),
    pytest.param(changed(type="Track"), Code.UNKNOWN_TYPE, "type", id="type in upper case"),
    pytest.param(changed(type=""), Code.UNKNOWN_TYPE, "type", id="type empty"),
    pytest.param(changed(userId=...), Code.USER_ID_REQUIRED, "userId", id="no userId"),
    pytest.param(changed(userId=None, anonymousId="a"), Code.USER_ID_REQUIRED, "userId", id="anonymous"),
    pytest.param(changed(userId=""), Code.USER_ID_REQUIRED, "userId", id="userId empty"),
    pytest.param(changed(userId=" \t\n\u00a0"), Code.USER_ID_REQUIRED, "userId", id="userId blank"),
    pytest.param(changed(userId=1.5), Code.INVALID_TYPE, "userId", id="userId a fraction"),
    pytest.param(raw("userId", "1" * 256), Code.TOO_LONG, "userId", id="userId a long number"),
    pytest.param(raw("userId", "NaN"), Code.USER_ID_REQUIRED, "userId", id="userId NaN"),
    pytest.param(changed(userId="u" * 256), Code.TOO_LONG, "userId", id="userId long"),
    pytest.param(changed(userId="u\0"), Code.INVALID_CHARACTER, "userId", id="userId with NUL"),
    pytest.param(changed(event=...), Code.EVENT_REQUIRED, "event", id="no event"),
    pytest.param(changed(event=None), Code.EVENT_REQUIRED, "event", id="event null"),
    pytest.param(changed(event="  "), Code.EVENT_REQUIRED, "event", id="event blank"),
    pytest.param(changed(event={}), Code.INVALID_TYPE, "event", id="event an object"),
    pytest.param(changed(event="é" * 256), Code.TOO_LONG, "event", id="event long"),
    pytest.param(changed(event="\0"), Code.INVALID_CHARACTER, "event", id="event NUL"),
    pytest.param(changed(messageId=""), Code.BLANK, "messageId", id="messageId empty"),
    pytest.param(changed(messageId=" "), Code.BLANK, "messageId", id="messageId blank"),
    pytest.param(changed(messageId=1e3), Code.INVALID_TYPE, "messageId", id="messageId a fraction"),
    pytest.param(changed(messageId="m" * 256), Code.TOO_LONG, "messageId", id="messageId long"),
    pytest.param(changed(messageId="m\0"), Code.INVALID_CHARACTER, "messageId", id="messageId with NUL"),
    pytest.param(changed(anonymousId=[]), Code.INVALID_TYPE, "anonymousId", id="anonymousId an array"),
    pytest.param(changed(anonymousId="\0"), Code.INVALID_CHARACTER, "anonymousId", id="anonymousId NUL"),
    *(
        pytest.param(raw(name, value), Code.INVALID_TYPE, name, id=f"{name} {value}")
        for name in ("properties", "context", "integrations")
        for value in ("[1]", "[[]]", "5", '"{}"', "true")
    ),
    pytest.param(changed(type="identify", traits=[{}]), Code.INVALID_TYPE, "traits", id="traits an array"),
    pytest.param(raw("properties", '{"a":' * 33 + "1" + "}" * 33), Code.TOO_DEEP, "properties", id="33 levels"),
    pytest.param(raw("properties", '{"a":' * 2000 + "1" + "}" * 2000), Code.TOO_DEEP, None, id="2000 levels"),
    *(
        pytest.param(raw("properties", opening * 33 + "{}" + closing * 33), Code.TOO_DEEP, "properties", id=name)
        for name, opening, closing in (
            ("levels hidden by brackets in strings", '{"a":"}","b":', ',"c":"{"}'),
            ("levels hidden behind escaped quotes", '{"a":"\\"}\\"","b":', ',"c":"\\"{\\""}'),
        )
    ),
    pytest.param(raw("properties", '{"a":"' + "x" * 32768 + '"}'), Code.ITEM_TOO_LARGE, None, id="32 KiB"),
]


@pytest.mark.parametrize(("item", "code", "field"), REJECTED)
def test_invalid_item_is_rejected_with_the_code_of_its_rule(item: str, code: Code, field: str | None) -> None:
    found = rejected(check_batch(item))

    assert (found.code, found.field) == (code, field)
    assert found.content == item.encode()


@pytest.mark.parametrize(("item", "code", "field"), REJECTED)
def test_invalid_item_does_not_affect_the_rest_of_its_batch(item: str, code: Code, field: str | None) -> None:
    result = check_batch(*[VALID] * 40, item, *[VALID] * 59)

    assert [*result.accepted_indexes] == [*range(40), *range(41, 100)]
    assert len(result.accepted) == 99
    assert [(each.index, each.code, each.field) for each in result.rejected] == [(40, code, field)]


@pytest.mark.parametrize(
    "item",
    [
        changed(userId="u" * 255, event="😀" * 255, messageId="m" * 255),
        changed(userId=" u "),
        changed(type="identify", event=5, properties=5),
        changed(traits=5),
        changed(sentAt="no time"),
        changed(originalTimestamp=5, timestamp="2026-01-31"),
        changed(page={"a": 1}, channel=None),
        raw("properties", '{"n":[18446744073709551615,-9223372036854775808,1e308,-1E-400,0.' + "1" * 40 + "]}"),
        raw("properties", '{"id":"12345678901234567890","x":"4e999,","y":"\\u0000"}'),
        raw("properties", '{"a":' * 32 + "1" + "}" * 32),
        raw("properties", "[" * 9).replace("[" * 9, '{"a":"' + "[{" * 40 + '"}'),
        raw("properties", '{"a":[' + "{}," * 60 + "{}]}"),
        raw("properties", '{"a":"' + "x" * (32768 - len(raw("properties", '{"a":""}'))) + '"}'),
        raw("properties", '{"a":"\\ud83d\\ude00"}'),
    ],
)
def test_item_at_the_boundary_of_a_rule_is_accepted(item: str) -> None:
    accepted(check_batch(item))


def test_item_limit_counts_bytes_as_received() -> None:
    item = VALID[:-1] + " " * 10 + "}"

    accepted(check(f'{{"batch":[ {item} ]}}', limits=Limits(item_bytes=len(item))))
    too_large = rejected(check(f'{{"batch":[{item}]}}', limits=Limits(item_bytes=len(item) - 1)))
    assert too_large.code == Code.ITEM_TOO_LARGE
    limit = len(item) - 1
    assert too_large.message == f"The item has {len(item)} bytes; the limit is {limit}."


def test_item_limit_includes_context_and_integrations_of_the_batch() -> None:
    context = '{"a":"' + "x" * 60_000 + '"}'
    own = VALID[:-1] + ',"context":{},"integrations":{}}'
    limits = Limits(item_bytes=len(VALID) + len(context))

    result = check(f'{{"batch":[{VALID},{own}],"context":{context}}}', limits=limits)
    assert len(result.accepted) == 2
    result = check(f'{{"batch":[{VALID},{own}],"context":{context},"integrations":{{"A":1}}}}', limits=limits)
    assert [*result.accepted_indexes] == [1]
    assert [item.code for item in result.rejected] == [Code.ITEM_TOO_LARGE]


def test_every_code_has_its_own_message() -> None:
    assert all(code.message.endswith(".") for code in Code)
    assert len({code.message for code in Code}) == len(Code)
