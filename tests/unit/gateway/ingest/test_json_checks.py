"""`passes_quick_checks` has no false positives, and usual text passes it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from gateway.ingest.json_checks import PARSER_DEPTH, exceeds_parser, is_deeper, passes_quick_checks
from tests.unit.gateway.ingest.json_texts import items, values


def depth(value: object) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def values_of(members: list[tuple[str, object]]) -> list[object]:
    """Return an object as a list, so that both of two members with one name count."""
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
def test_usual_text_passes(text: str) -> None:
    json.loads(text)

    assert passes_quick_checks(text.encode(), 6)


@pytest.mark.parametrize("text", ['{"a":[[[[]]]]}', '{"n":1e999}', '{"n":1234567890123456789}', '{"a":"\\u0000"}'])
def test_text_that_may_break_a_rule_fails(text: str) -> None:
    assert not passes_quick_checks(text.encode(), 4)


@pytest.mark.parametrize("opening", ["[", '{"a":', '["]",'])
@pytest.mark.parametrize(("levels", "exceeds"), [(PARSER_DEPTH, False), (PARSER_DEPTH + 1, True), (20_000, True)])
def test_depth_beyond_the_parser_is_found(opening: str, levels: int, *, exceeds: bool) -> None:
    inner = "" if opening == "[" else "0"
    text = "[[0],[{}]," * 2 + opening * (levels - 2) + inner + ("}" if opening[0] == "{" else "]") * (levels - 2) + "]]"

    assert exceeds_parser(text.encode()) == exceeds


@given(items() | values())
def test_text_that_passes_is_within_the_depth_and_is_deeper_is_exact(text: str) -> None:
    try:
        levels = depth(json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=values_of))
    except RecursionError:
        levels = 1000
    for allowed in (1, 16, 32, 33):
        assert is_deeper(text.encode(), allowed) == (levels > allowed)
        assert levels <= allowed or not passes_quick_checks(text.encode(), allowed)
