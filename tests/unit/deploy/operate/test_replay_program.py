"""jq programs: what they leave as it is keeps its value, and their errors are sentences."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.errors import ArgumentError
from deploy.operate.replay_program import Program, ProgramError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_program_that_adds_a_member_changes_nothing_else(item: dict[str, object]) -> None:
    after = Program(['.["the added one"] = 1']).apply(json.dumps(item).encode())

    assert after is not None
    assert json.loads(after) == item | {"the added one": 1}


@pytest.mark.parametrize(
    ("program", "before", "after"),
    [
        (
            '.event = "x"',
            '{"n":12345678901234567890,"u":"\\ud800"}',
            '{"n":12345678901234567890,"u":"\\ud800","event":"x"}',
        ),
        (".a[0].b |= tonumber", '{"a":[{"b":"7","c":9007199254740993}]}', '{"a":[{"b":7,"c":9007199254740993}]}'),
        (".a += [3]", '{"a":[1,9007199254740993]}', '{"a":[1,9007199254740993,3]}'),
        ("del(.a)", '{"a":1,"b":true}', '{"b":true}'),
        (".a = true", '{"a":1}', '{"a":true}'),
        (".", '{"a":1.0}', '{"a":1.0}'),
    ],
)
def test_program_rewrites_what_it_names(program: str, before: str, after: str) -> None:
    assert Program([program]).apply(before.encode()) == after.encode()


def test_programs_apply_one_after_the_other_and_none_leaves_the_bytes() -> None:
    assert Program([".a = 1", ".b = .a + 1 | .c = 3"]).apply(b"{}") == b'{"a":1,"b":2,"c":3}'
    assert Program([]).apply(b'{ "a" : 1.0 }') == b'{ "a" : 1.0 }'


def test_program_may_leave_an_item_out() -> None:
    assert Program(['select(.event == "x")']).apply(b'{"event":"y"}') is None


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("., .", "returns 2 values"),
        ('"s"', "does not return an object"),
        (".a.b = 1", "Cannot index"),
        ('error("why")', "why"),
    ],
)
def test_program_that_returns_no_item_fails_for_it(program: str, reason: str) -> None:
    with pytest.raises(ProgramError, match=reason):
        Program([program]).apply(b'{"a":"s"}')


@pytest.mark.parametrize("program", [".a =", "nosuch(1)", "{", "import 'x';"])
def test_text_that_is_no_program_is_explained(program: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"is not a valid jq program: [^\n]+, line 1, column \d+\. Example: "
    ) as caught:
        Program([".", program])
    assert repr(program) in str(caught.value)
