"""The SQL functions num, str, bool and at on the real engine: for any JSON value they return what the model returns."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.clickhouse.client import ClickHouse
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, item_rows
from schemas.clickhouse import EVENTS
from schemas.clickhouse.analyst import READING
from tests.contracts.sinks import valid_lease
from tests.integration.test_json_round_trip import is_same as is_same_json
from tests.integration.test_json_round_trip import normalised
from tests.support import sql_functions
from tests.support.records import event_read, track

_DIGITS = st.text("0123456789", min_size=1, max_size=4)
NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 3)
    | st.sampled_from([10**8 - 1, 10**8, 10**10 - 1, 10**10, 10**11 - 1, 10**11, 10**13 - 1, 10**13, 2**53 + 1])
    | st.integers(10**8, 10**13)
    | st.floats(1e8, 1e13).map(lambda number: round(number, 3))
    | st.floats(allow_nan=False, allow_infinity=False)
)
NUMERIC_TEXTS = (
    NUMBERS.map(str)
    | st.builds("{}{}{}".format, st.sampled_from(["", "-", "+", " "]), _DIGITS, st.sampled_from(["", ".", ".5", " "]))
    | st.builds("{}e{}".format, _DIGITS, st.integers(-400, 400))
    | st.sampled_from(
        ["inf", "-inf", "nan", "Infinity", "1e400", "1,5", "1_000", "0x10", ".5", "-.5", "5.", ".", "1e", "007", "$5"]
    )
)
TIMES = st.builds(
    "{}{}{}{}{}".format,
    st.dates(datetime(1895, 1, 1, tzinfo=UTC).date(), datetime(2305, 1, 1, tzinfo=UTC).date()).map(str)
    | st.sampled_from(["2026-02-29", "2024-02-29", "2026-02-30", "2026-13-01", "2026-00-10", "2026-1-5", "20260115"]),
    st.sampled_from(["", "T", " ", "t"]),
    st.times().map(lambda time: time.strftime("%H:%M:%S")) | st.sampled_from(["", "10:20", "24:00:00", "10:60", "1:2"]),
    st.sampled_from(["", "."]) | st.text("0123456789", min_size=1, max_size=12).map(".{}".format),
    st.sampled_from(["", "Z", " UTC", "+02:00", "-0530", " +01", "+14:00", "+15:00", "z", "+2", "+01:60"]),
)
TEXTS = (
    NUMERIC_TEXTS
    | TIMES
    | st.text(max_size=8)
    | st.sampled_from(["true", "TRUE", "False", "yes", "1", "0", "", " ", "null", "[1]", "Jan 5", "15/01/2026", "2026"])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from("ab"), SCALARS, max_size=2)


def results(client: ClickHouse, values: list[Any], sources: Iterator[int]) -> list[dict[str, Any]]:
    """Write a track with each of *values* as the properties x and z; return what the functions make of them.

    Most values of x have a column of their own, and those of z are among the other paths.
    """
    others = ",".join(f'"n{number}":1' for number in range(8))
    texts = [f'{{"x":{json.dumps(value)},{others},"z":{json.dumps(value)}}}' for value in values]
    first, *_ = [next(sources) for _ in values]
    records = [
        event_read(at, track(f"m{at}", properties=text.encode()), source_offset=at)
        for at, text in enumerate(texts, first)
    ]
    ClickHouseSink(client).insert([Block(EVENTS, 0, item_rows(records, 1, 0).events)], valid_lease)
    columns = ", ".join(f"{name}(properties.{path}) AS {name}_{path}" for name in sql_functions.MODELS for path in "xz")
    reading = ", ".join(f"{name} = {value}" for name, value in READING.items())
    return client.query(
        f"SELECT {columns} FROM events WHERE _origin >= {{first:UInt64}} ORDER BY _origin SETTINGS {reading}",  # noqa: S608
        {"first": first},
    )


def is_same(name: str, said: Any, expected: Any, found: Any) -> bool:
    """Return whether *found* is what *expected* says that the function *name* makes of *said*."""
    if expected is None or found is None:
        return expected is found
    if name == "num":
        # The engine reads text to within the last digits of a double.
        return math.isclose(expected, found, rel_tol=1e-14, abs_tol=1e-300)
    if name == "at":
        return bool(expected == datetime.fromisoformat(found).replace(tzinfo=UTC))
    if name == "str" and isinstance(said, float):
        return float(found) == said
    if name == "str" and isinstance(said, list):
        # An array of integers is stored as doubles if an earlier row has floats there; see docs/sql.md.
        return is_same_json(normalised(said), json.loads(found), has_floats=True)
    return bool(expected == found)


@settings(max_examples=40)
@given(said=st.lists(VALUES, min_size=15, max_size=60))
def test_functions_return_what_the_model_returns(client: ClickHouse, sources: Iterator[int], said: list[Any]) -> None:
    found = results(client, said, sources)

    assert len(found) == len(said)
    for value, row in zip(said, found, strict=True):
        for name, model in sql_functions.MODELS.items():
            for path in "xz":
                assert is_same(name, value, model(value), row[f"{name}_{path}"]), (name, value, row)
