"""Null keys: the paths of nulls, as a query names them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from processors.sink.null_keys import SIZE_FACTOR, null_keys, null_keys_of_members

NAMES = st.sampled_from(["a", "b", "", ".", "a.b", "null", "%", "é"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "null"]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(NAMES, values, max_size=3),
    max_leaves=12,
)


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def expected(value: Any, path: str = "") -> set[str]:
    """Return the paths of the nulls in *value*, by recursion over every value."""
    if isinstance(value, list):
        inside = f"{path}[]"
        return {key for element in value for key in ([inside[1:]] if element is None else expected(element, inside))}
    if not isinstance(value, dict):
        return set()
    found = set()
    for name, member in value.items():
        at = f"{path}.{name.replace('.', '%2E')}"
        found |= {at[1:]} if member is None else expected(member, at)
    return found


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (b"{}", []),
        (b'{"a":1,"b":"null","null":2}', []),
        (b'{"plan":null}', ["plan"]),
        (b'{ "plan" : null }', ["plan"]),
        (b'{"address":{"zip":null,"city":"Lima"}}', ["address.zip"]),
        (b'{"utm.source":null}', ["utm%2Esource"]),
        (b'{"a.b":{"c.d":null}}', ["a%2Eb.c%2Ed"]),
        (b'{"":null}', [""]),
        (b'{"":{"":null}}', ["."]),
        (b'{"list":[null,1,null,[null]]}', ["list[]", "list[][]"]),
        (b'{"items":[{"sku":null},{"sku":1},{"sku":null}]}', ["items[].sku"]),
        (b'{"a":[[{"b":null}]]}', ["a[][].b"]),
        (b'{"deep":{"er":null},"flat":null}', ["flat", "deep.er"]),
        (b'{"\\u0061":null}', ["a"]),
        (b'{"a":null', []),
        (b'{"a":"\xff","b":null}', []),
    ],
)
def test_null_has_the_path_that_a_query_names(text: bytes, keys: list[str]) -> None:
    assert list(null_keys(Raw(text))) == keys


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_every_null_of_an_object_has_its_path_once(value: dict[str, Any]) -> None:
    assert sorted(null_keys(raw(value))) == sorted(expected(value))


@given(st.dictionaries(NAMES, VALUES.filter(lambda value: value is not None), max_size=4))
def test_nulls_inside_members_have_the_paths_of_the_object(value: dict[str, Any]) -> None:
    members = {name: raw(member) for name, member in value.items()}

    assert set(null_keys_of_members(members)) == set(null_keys(raw(value)))


def test_thousands_of_nulls_all_have_a_path() -> None:
    names = [f"name-{number}" for number in range(20_000)]

    assert list(null_keys(raw(dict.fromkeys(names)))) == names
    assert list(null_keys(raw({"profile": dict.fromkeys(names)}))) == [f"profile.{name}" for name in names]


@pytest.mark.parametrize(
    "inner",
    [
        {f"{number}": None for number in range(20_000)},
        [{"k": None}] * 20_000,
        [{f"{number}": {"k": None}} for number in range(20_000)],
    ],
    ids=["object", "array", "objects in an array"],
)
def test_paths_below_a_long_name_are_bounded_by_the_size(inner: Any) -> None:
    value = raw({"x" * 200_000: inner, "short": None})

    keys = null_keys(value)
    assert sum(map(len, keys)) <= SIZE_FACTOR * len(value)
    assert keys[0] == "short"


def test_text_nested_deeper_than_a_parser_reads_has_no_paths() -> None:
    assert null_keys(Raw(b'{"a":' * 100_000 + b"null" + b"}" * 100_000)) == ()
