"""What is called plain is plain, and what is usual is called so."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from gateway.ingest.json_checks import is_deeper, passes_quick_checks
from tests.unit.gateway.ingest.json_texts import items, values


def depth(value: object) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def values_of(members: list[tuple[str, object]]) -> list[object]:
    """Stand in for an object: of two members with one name, both nest."""
    return [value for _, value in members]


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"0e123e45-6e78-4a9b-8c1d-2e999f0a1b2c"}',
        '{"n":[1e99,1.5E-300,123456789012345678,0.5]}',
        '{"a":"line\\n \\"quoted\\" \\\\","b":"\\u00e9 \\ud83d\\ude00"}',
        '{"path":"C:\\\\"}',
        '{"a":[[[{"b":{}}]]]}',
        '{"products":[' + "{}," * 500 + "{}]}",
    ],
)
def test_usual_text_is_plain(text: str) -> None:
    json.loads(text)

    assert passes_quick_checks(text.encode(), 6)


@pytest.mark.parametrize("text", ['{"a":[[[[]]]]}', '{"n":1e999}', '{"n":1234567890123456789}', '{"a":"\\u0000"}'])
def test_what_may_break_a_rule_is_not_plain(text: str) -> None:
    assert not passes_quick_checks(text.encode(), 4)


@given(items() | values())
def test_plain_text_nests_within_its_levels_and_the_exact_count_is_right(text: str) -> None:
    try:
        levels = depth(json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=values_of))
    except RecursionError:
        levels = 1000
    for allowed in (1, 16, 32, 33):
        assert is_deeper(text.encode(), allowed) == (levels > allowed)
        assert levels <= allowed or not passes_quick_checks(text.encode(), allowed)
