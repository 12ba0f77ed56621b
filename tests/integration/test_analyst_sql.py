"""What analysts type on properties of every JSON kind: no value's type ends a statement, and the answer is right.

The control runs each statement with ClickHouse's own settings, which refuse it. docs/sql.md has the statements that
stay refused; `test_sql_page` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from processors.clickhouse.migrate import migrate
from schemas.clickhouse.analyst import READING
from tests.support import services, shop
from tests.support.clickhouse_http import ClickHouseHttp

KINDS: dict[str, Any] = {
    "int": 42,
    "zero": 0,
    "negative": -7,
    "int53": 9007199254740993,
    "int63": 9223372036854775807,
    "uint64": 18446744073709551615,
    "float": 12.5,
    "large": 1e300,
    "text": "abc",
    "numeric": "30",
    "empty": "",
    "date": "2026-01-15",
    "true": True,
    "false": False,
    "null": None,
    "array": [1, 2],
    "mixed": [1, "a", True, 2.5],
    "objects": [{"sku": "a"}],
    "nothing": [],
    "object": {"b": 1},
}
ABOVE_TEN = {"int", "int53", "int63", "uint64", "float", "large"}
NUMBERS = {*ABOVE_TEN, "zero", "negative"}
CONDITIONS = {
    "{x} > 10": ABOVE_TEN,
    "10 < {x}": ABOVE_TEN,
    "{x} >= 42": ABOVE_TEN - {"float"},
    "{x} < 5": {"zero", "negative", "true", "false"},
    "{x} = 42": {"int"},
    "{x} = 12.5": {"float"},
    "{x} = 9007199254740993": {"int53"},
    "{x} = 18446744073709551615": {"uint64"},
    "{x} != 42": NUMBERS - {"int"} | {"true", "false"},
    "{x} BETWEEN 10 AND 50": {"int", "float"},
    "{x} = true": {"true"},
    "NOT ({x} = true)": NUMBERS | {"false"},
    "{x} > 10 AND {x} < 50": {"int", "float"},
    "{x} = 42 OR {x} = 12.5 OR {x} = 0 OR {x} = 7": {"int", "float", "zero", "false"},
    "{x} LIKE 'a%'": {"text"},
    "{x} ILIKE '%B%'": {"text"},
    "startsWith({x}, 'a')": {"text"},
    "match({x}, '^[0-9]+$')": {"numeric"},
    "upper({x}) = 'ABC'": {"text"},
    "length({x}) = 2": {"numeric", "array"},
    "empty({x})": {"empty", "nothing"},
    "{x} * 2 > 80": ABOVE_TEN - {"float", "int63"},
    "round({x}) = 12": {"float"},
    "abs({x}) = 7": {"negative"},
    "{x} > length(event)": ABOVE_TEN,
    "CASE WHEN {x} > 20 THEN 'high' WHEN {x} > 10 THEN 'low' END = 'low'": {"float"},
}
"""A condition and the kinds for which it holds. The engine's own settings refuse each one."""
ALWAYS = {
    "{x} IS NULL": {"null", "object"},
    "{x} IS NOT NULL": KINDS.keys() - {"null", "object"},
    "str({x}) = 'abc'": {"text"},
    "str({x}) != 'abc'": KINDS.keys() - {"text", "null", "object"},
    "str({x}) IN ('abc', '42')": {"text", "int"},
    "str({x}) LIKE '%2'": {"int"},
    "num({x}) > 10": ABOVE_TEN | {"numeric"},
    "num({x}) IN (42, 30)": {"int", "numeric"},
    "bool({x})": {"true"},
    "NOT bool({x})": {"false", "zero"},
    "at({x}) >= '2026-01-01'": {"date"},
}
"""Conditions that the engine's own settings take as well."""
STATEMENTS = [
    "SELECT {x}, count() FROM events GROUP BY {x} ORDER BY count() DESC",
    "SELECT {x} AS value, count() FROM events GROUP BY value HAVING count() > 0 ORDER BY 2",
    "SELECT {x}, event, count() FROM events GROUP BY 1, 2",
    "SELECT {x} AS value, count() FROM events GROUP BY ALL",
    "SELECT toStartOfDay(timestamp) AS day, {x} AS value, count() FROM events GROUP BY day, value ORDER BY day",
    "SELECT {x}, count() FROM events GROUP BY {x} WITH TOTALS",
    "SELECT {x}, count() FROM events GROUP BY ROLLUP({x})",
    "SELECT coalesce({x}, 'none') AS value, count() FROM events GROUP BY value",
    "SELECT floor({x} / 10) * 10 AS bucket, count() FROM events GROUP BY bucket",
    "SELECT row_number() OVER (PARTITION BY {x} ORDER BY timestamp) FROM events",
    "SELECT countIf({x} > 10), sum({x} > 10), uniqIf(user_id, {x} > 10) FROM events",
    "SELECT if({x} > 10, 'high', 'low') AS level, count() FROM events GROUP BY level",
    "SELECT lower({x}), {x} + 1, {x} / 2, -{x}, round({x}, 1), splitByChar('-', {x}), {x}[1] FROM events",
    "WITH o AS (SELECT user_id, {x} AS value FROM events) SELECT value, count() FROM o WHERE value > 10 GROUP BY value",
    "SELECT count() FROM events WHERE user_id IN (SELECT user_id FROM events WHERE {x} > 10)",
    "SELECT retention(event = 'int', {x} > 10) FROM events GROUP BY user_id",
    "SELECT windowFunnel(3600)(toDateTime(timestamp), event = 'int', {x} > 10) FROM events GROUP BY user_id",
    "SELECT traits.plan, count() FROM events JOIN persons USING (project_id, user_id) GROUP BY traits.plan",
]
"""Statements that the engine's own settings refuse."""
REFUSING = {name: str(1 - value) for name, value in READING.items() if name != "json_type_escape_dots_in_keys"}
"""The engine's own settings."""


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    """A server with a row of each kind: x is a column of its own, and z one of the other paths."""
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as server:
        migrate(services.clickhouse_settings(server.address))
        client = ClickHouseHttp(server.address)
        others = {f"n{number}": 1 for number in range(7)}
        rows = [
            {"project_id": "dev", "user_id": "ada", "event": kind, "message_id": kind, "_origin": number}
            | {"properties": {"x": value, **others, "z": value}}
            for number, (kind, value) in enumerate(KINDS.items())
        ]
        shop.put(client, "sequence.events", rows)
        shop.put(client, "sequence.person_states", shop.persons())
        yield client


@pytest.fixture
def analyst(writer: ClickHouseHttp) -> ClickHouseHttp:
    return ClickHouseHttp(
        f"http://{writer.netloc}", "analyst", services.ANALYST_PASSWORD, settings={"database": "sequence"}
    )


@pytest.mark.parametrize("path", ["x", "z"])
@pytest.mark.parametrize("condition", [*CONDITIONS, *ALWAYS])
def test_condition_holds_for_its_kinds(analyst: ClickHouseHttp, condition: str, path: str) -> None:
    query = f"SELECT event FROM events WHERE {condition.replace('{x}', f'properties.{path}')}"  # noqa: S608

    assert set(analyst.query(query).split()) == (CONDITIONS | ALWAYS)[condition]


@pytest.mark.parametrize("path", ["x", "z"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_statement_runs_whatever_the_types_of_the_values(analyst: ClickHouseHttp, statement: str, path: str) -> None:
    assert analyst.query(statement.replace("{x}", f"properties.{path}"))


@pytest.mark.parametrize("statement", [*STATEMENTS, *map("SELECT count() FROM events WHERE {}".format, CONDITIONS)])
def test_statement_is_refused_with_the_settings_of_the_engine(analyst: ClickHouseHttp, statement: str) -> None:
    """The control: the analyst may change the settings, and each statement then fails."""
    server = replace(analyst, settings={**analyst.settings, **REFUSING})

    assert server.send(statement.replace("{x}", "properties.x")).code in {43, 44, 386}


def test_groups_are_the_values_with_their_types(analyst: ClickHouseHttp) -> None:
    query = (
        "SELECT properties.x AS x, dynamicType(x) AS kind, count() AS n FROM events GROUP BY x, kind FORMAT JSONEachRow"
    )

    assert len(analyst.query(query).splitlines()) == len(KINDS) - 1  # the object is no value, as null
    assert analyst.query("SELECT count() FROM (SELECT DISTINCT properties.x FROM events)") == str(len(KINDS) - 1)


@pytest.mark.parametrize("rows", [20, 20_000])
def test_value_of_another_project_or_event_ends_no_query(
    writer: ClickHouseHttp, analyst: ClickHouseHttp, rows: int
) -> None:
    """The rows share granules. The control is ClickHouse's own order, which puts columns of the sorting key last."""
    project = f"mine-{rows}"
    writer.query(
        "INSERT INTO sequence.events (project_id, event, user_id, message_id, properties, _origin)"  # noqa: S608
        f" SELECT if(number % 4 < 2, '{project}', 'their-{rows}'), if(number % 2 = 0, 'A', 'B'), 'u', toString(number),"
        f' if(number % 4 = 0, \'{{"code":"a7"}}\', \'{{"code":7}}\'), 100 + number FROM numbers({rows})'
    )
    query = f"SELECT count() FROM events WHERE project_id = '{project}' AND event = 'A' AND properties.code = 'a7'"  # noqa: S608

    assert analyst.query(query) == str(rows // 4)
    assert (
        replace(analyst, settings={**analyst.settings, "allow_reorder_prewhere_conditions": "1"}).send(query).code == 53
    )


def test_path_beyond_the_columns_is_tested(writer: ClickHouseHttp) -> None:
    shared = writer.query("SELECT DISTINCT arrayJoin(JSONSharedDataPaths(properties)) FROM sequence.events").split()

    assert "z" in shared
    assert "x" not in shared
