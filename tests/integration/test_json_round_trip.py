"""Properties on the real engine: what is stored equals what was sent, but for the normalisations of docs/sql.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from processors.clickhouse.client import ClickHouse
from processors.sink.insert import ClickHouseSink
from processors.sink.null_keys import null_keys
from processors.sink.rows import Block, item_rows
from schemas.clickhouse import EVENTS
from tests.contracts.sinks import valid_lease
from tests.support.records import event_read, track

NAMES = st.sampled_from(["a", "b", "a.b", "", ".", "a.", "%", "%2", "null", "é😀", "size0", "[", "`", "'"]) | st.text(
    max_size=5
).filter(lambda name: "%2E" not in name and "[]" not in name)
"""Names without `%2E`, which is read as a dot, and without `[]`, which a path has for an array."""
NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, -0.0, 1.0, 1e21, 5e-324, 1.7976931348623157e308])
)
TEXTS = st.text(max_size=8) | st.sampled_from(["2026-01-01", "2026-01-01 10:00:00", "1", "1.5", "true", "null", "::1"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(NAMES, values, max_size=4),
    max_leaves=15,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)


def stored(client: ClickHouse, texts: list[bytes], first: int) -> list[tuple[Any, list[str]]]:
    """Write a track with each of *texts* as its properties; return the properties and null keys that are read."""
    records = [
        event_read(at, track(f"m{at}", properties=text), source_offset=at) for at, text in enumerate(texts, first)
    ]
    ClickHouseSink(client).insert([Block(EVENTS, 0, item_rows(records, 1, 0).events)], valid_lease)
    rows = client.query(
        "SELECT properties, properties_null_keys FROM events WHERE _origin >= {first:UInt64} ORDER BY _origin"
        " SETTINGS json_type_escape_dots_in_keys = 1",
        {"first": first},
    )
    return [(row["properties"], row["properties_null_keys"]) for row in rows]


def restored(properties: Any, keys: list[str]) -> Any:
    """Return *properties* with the nulls of *keys* that are not inside an array."""
    for key in (key for key in keys if "[]" not in key):
        *above, name = [part.replace("%2E", ".") for part in key.split(".")]
        place = properties
        for part in above:
            place = place.setdefault(part, {})
        place[name] = None
    return properties


def normalised(value: Any, *, in_array: bool = False) -> Any:
    """Return *value* without its empty objects and without nulls in the objects of an array."""
    if isinstance(value, list):
        return [normalised(element, in_array=True) for element in value]
    if not isinstance(value, dict):
        return value
    members = {name: normalised(member, in_array=in_array) for name, member in value.items()}
    return {name: member for name, member in members.items() if member != {} and not (in_array and value[name] is None)}


def is_same(said: Any, found: Any, *, has_floats: bool = False) -> bool:
    """Return whether *found* is *said*: the same type, and for a float any number that reads as the same float.

    A null in an array may have become an empty array or object. In an array that *has_floats*, an integer may have
    become a float.
    """
    if isinstance(said, dict) and isinstance(found, dict):
        return said.keys() == found.keys() and all(is_same(said[name], found[name]) for name in said)
    if isinstance(said, list) and isinstance(found, list):
        has_floats = has_floats or any(isinstance(each, float) for each in flat(said))
        return len(said) == len(found) and all(
            is_same(one, other, has_floats=has_floats) or (one is None and other in ([], {}))
            for one, other in zip(said, found, strict=True)
        )
    if isinstance(said, float) or (has_floats and type(said) is int):
        return type(found) in {int, float} and float(found) == float(said)
    return type(said) is type(found) and bool(said == found)


def flat(values: list[Any]) -> Iterator[Any]:
    """Yield the elements of *values* and of the arrays in it."""
    for value in values:
        if isinstance(value, list):
            yield from flat(value)
        else:
            yield value


@settings(max_examples=40)
@given(said=st.lists(OBJECTS, min_size=1, max_size=25))
def test_stored_properties_equal_the_sent_ones(
    client: ClickHouse, sources: Iterator[int], said: list[dict[str, Any]]
) -> None:
    first, *_ = [next(sources) for _ in said]
    encode = partial(json.dumps, ensure_ascii=False)

    found = stored(client, [encode(value).encode() for value in said], first)

    assert len(found) == len(said)
    for value, (properties, keys) in zip(said, found, strict=True):
        outside = [key for key in null_keys(Raw(encode(value).encode())) if key in keys]
        assert outside == keys
        assert is_same(normalised(value), restored(properties, keys)), (value, properties, keys)


def test_only_integers_beside_floats_in_an_array_become_doubles(client: ClickHouse, sources: Iterator[int]) -> None:
    large = 2**53 + 1

    found = stored(client, [json.dumps({"a": [large, 0.5], "b": [large, "0.5"]}).encode()], next(sources))

    assert found == [({"a": [large - 1, 0.5], "b": [large, "0.5"]}, [])]
