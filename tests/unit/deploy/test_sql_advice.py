"""Advice in the names of a statement: those of the clause, the key or the subquery that ClickHouse refuses.

tests/integration/test_sql_advice.py has the messages of the engine.
"""

from __future__ import annotations

import pytest

from deploy.sql_advice import advice
from deploy.sql_columns import without_far_names

_ORDER = "Data types Variant/Dynamic are not allowed in ORDER BY keys"
_KEYS = (
    "JOIN cannot infer common type in ON section for keys. Left key '__table1.a' type String. Right key '{}' type Int64"
)


@pytest.mark.parametrize(
    ("statement", "advised"),
    [
        ("SELECT rank() OVER (ORDER BY timestamp), properties.a AS s FROM events ORDER BY s DESC LIMIT 1", "str(s)."),
        ("SELECT s FROM (SELECT properties.a AS s FROM events) ORDER BY timestamp, s LIMIT 2, 3", "ORDER BY str(s)."),
        ("SELECT coalesce(properties.a, 'properties.b') src FROM events ORDER BY src", "ORDER BY str(src)."),
        (
            "SELECT count(properties.a) AS n, properties.b AS s FROM events GROUP BY s ORDER BY n, s",
            "str(properties.b)",
        ),
        ("SELECT str(properties.a) AS n, properties.b FROM events ORDER BY 1, 2", "str(properties.b) … ORDER BY 2"),
        ("SELECT * FROM events ORDER BY tuple(a)", "ORDER BY str(…)"),
    ],
)
def test_key_without_a_type_is_found(statement: str, advised: str) -> None:
    assert advised in advice(_ORDER, statement)


@pytest.mark.parametrize(
    ("key", "advised"),
    [
        ("__table2.c", "ON str(y.c) = str(x.a)."),
        ("__table2.`properties.b`", "ON str(x.a) = str(y.properties.b)."),
        ("lower(__table2.c)", "ON str(a) = str(lower(c))."),
    ],
)
def test_keys_of_a_join_are_those_of_the_message(key: str, advised: str) -> None:
    statement = "SELECT 1 FROM x JOIN y ON x.id = y.id AND y.c = x.a AND x.a = y.properties.b"

    assert advised in advice(_KEYS.format(key), statement)


@pytest.mark.parametrize(
    ("error", "statement"),
    [
        (
            "Unknown expression identifier `p.currency`. In scope",
            "SELECT p.currency FROM o ARRAY JOIN splitByChar(x) AS p",
        ),
        ("Unknown expression identifier `person_plan`. In scope", "SELECT person_plan FROM events_with_person"),
        ("using identifier 'user_id' cannot be resolved from right table", "SELECT 1 FROM a JOIN b USING (user_id)"),
        ("Syntax error: failed at position 8", "SELECT 1 1"),
    ],
)
def test_name_that_is_not_known_has_no_advice(error: str, statement: str) -> None:
    assert advice(error, statement) == ""


def test_name_that_is_not_in_the_statement_is_left_open() -> None:
    refused = "Illegal type Dynamic of argument of function in"

    assert "properties" not in advice(refused, "SELECT 1 FROM events WHERE f(a) IN (1)")


@pytest.mark.parametrize(
    ("statement", "advised"),
    [
        (
            "SELECT floor(properties.a/25)*25 AS s FROM events GROUP BY s ORDER BY s",
            "SELECT floor(num(properties.a)/25)*25 AS s",
        ),
        (
            "SELECT num(properties.a) * properties.b AS s FROM events ORDER BY s",
            "num(properties.a) * num(properties.b) AS s",
        ),
        (
            "SELECT toInt64OrZero(e.properties.`a b`) + 1 AS s FROM e ORDER BY s",
            "num(e.properties.`a b`) + 1 AS s",
        ),
        ("SELECT concat(properties.a, '-') AS s FROM events ORDER BY s", "ORDER BY str(s)."),
        ("SELECT properties.`a-b` AS s FROM events ORDER BY s", "ORDER BY str(s)."),
        ("SELECT length(str(properties.a)) * 2 AS s, properties.b AS t FROM events ORDER BY s, t", "ORDER BY str(t)."),
        ("SELECT properties.a / 2, 1 FROM events ORDER BY 1", "SELECT num(properties.a) / 2 … ORDER BY 1."),
        ("SELECT 1 FROM events ORDER BY 3", "ORDER BY str(…)"),
    ],
)
def test_calculation_has_its_properties_read_as_numbers(statement: str, advised: str) -> None:
    assert advised in advice(_ORDER, statement)


@pytest.mark.parametrize(
    ("name", "near", "is_kept"),
    [
        ("revenue", "event", False),
        ("pricee", "price", True),
        ("utmSource", "utm_source", True),
        ("o.revenue", "o.event", False),
        ("o.pric", "o.price", True),
    ],
)
def test_name_that_is_not_near_is_left_out(name: str, near: str, is_kept: bool) -> None:  # noqa: FBT001
    error = (
        f"Unknown expression identifier `{name}`. Maybe you meant: ['{near}']. In scope SELECT 1. (UNKNOWN_IDENTIFIER)"
    )

    assert (near in without_far_names(error)) == is_kept
    assert "`. In scope" in without_far_names(error) or is_kept
