"""docs/sql.md: every statement and every cell of its tables is run as the login `analyst`, on rows of a small shop."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.sql_advice import advice
from processors.clickhouse.migrate import migrate
from schemas.clickhouse.analyst import READING
from tests.support import services, shop
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.documents import page, quoted

SQL = page("docs/sql.md")
_QUESTION = re.compile(r"^([^\n]+):\n\n```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUESTIONS = dict(_QUESTION.findall(SQL.text.partition("## Questions")[2].partition("\n## ")[0]))
ANSWERS = {
    "Events, how often, and when last": [
        "Order Completed | 6 | 3 | 2026-03-20 12:00:00.000000",
        "Product Viewed | 4 | 4 | 2026-02-19 12:00:00.000000",
        "Signed Up | 4 | 4 | 2026-02-18 12:00:00.000000",
    ],
    "Active users by day": [
        "2026-02-18 | 1",
        "2026-02-19 | 1",
        "2026-03-18 | 1",
        "2026-03-19 | 1",
        "2026-03-20 | 1",
    ],
    "Active users by week, from Monday": [
        "2026-01-19 | 1",
        "2026-01-26 | 1",
        "2026-02-02 | 1",
        "2026-02-09 | 1",
        "2026-02-16 | 1",
        "2026-03-16 | 3",
    ],
    "Orders and revenue by day": [
        "2026-03-18 | 1 | 20",
        "2026-03-19 | 1 | 20",
        "2026-03-20 | 1 | 20",
    ],
    "Revenue by month, and its growth": [
        "2026-01-01 | 22.5 | \\N",
        "2026-02-01 | 30 | 0.33333333333333326",
        "2026-03-01 | 60 | 1",
    ],
    "Mean, median and 95th percentile of a property": [
        "18.75 | 20 | 27.5",
    ],
    "Orders by steps of 10 in the price": [
        "10 | 2",
        "20 | 3",
        "30 | 1",
    ],
    "The five most expensive orders": [
        "cy | 30",
        "ada | 20",
        "bob | 20",
        "cy | 20",
        "bob | 12.5",
    ],
    "Share of orders that are a first order": [
        "0.5",
    ],
    "Funnel: users who signed up, then viewed a product, then ordered, all within 7 days": [
        "1 | 4",
        "2 | 4",
        "3 | 3",
    ],
    "Retention: users by the month of their first event, and the months in which they came back": [
        "2026-01-01 | 0 | 2",
        "2026-01-01 | 2 | 2",
        "2026-02-01 | 0 | 2",
        "2026-02-01 | 1 | 1",
    ],
    "Sessions, which end after 30 minutes without an event": [
        "ada | 1 | 1 | 0",
        "ada | 2 | 2 | 10",
        "ada | 3 | 1 | 0",
        "bob | 1 | 1 | 0",
        "bob | 2 | 2 | 10",
        "bob | 3 | 1 | 0",
        "cy | 1 | 1 | 0",
        "cy | 2 | 2 | 10",
        "cy | 3 | 1 | 0",
        "dee | 1 | 1 | 0",
        "dee | 2 | 1 | 0",
    ],
    "What users do next": [
        "Signed Up | Product Viewed | 4",
        "Order Completed | Order Completed | 3",
        "Product Viewed | Order Completed | 3",
    ],
    "First and last source of each user": [
        "ada | ads | mail",
        "bob | search | mail",
        "cy | ads | mail",
    ],
    "Active users by their present plan": [
        "pro | 2",
        "5 | 1",
        "free | 1",
    ],
    "Revenue by the plan that the user had at the time of the order": [
        "free | 72.5",
        "pro | 40",
    ],
    "Users of a plan who never requested a refund": [
        "ada",
        "cy",
    ],
    "Users who were active, and not in the last 14 days": [
        "dee | 2026-02-19 12:00:00.000000",
    ],
    "Events by hour of the day in a time zone": [
        "13 | 14",
    ],
    "Events by the month of a date in a property": [
        "2026-02-01 | 3",
    ],
    "Products in an array of objects": [
        "a | 6 | 6",
        "b | 3 | 7.5",
    ],
    "Paths of the properties of an event, and their types": [
        "('first','Bool') | 6",
        "('items','Array(JSON(max_dynamic_types=16, max_dynamic_paths=2))') | 6",
        "('plan','String') | 6",
        "('price','Int64') | 4",
        "('delivery_date','String') | 3",
        "('source','String') | 3",
        "('price','Float64') | 1",
        "('price','String') | 1",
    ],
    "Delay from the event to its arrival": [
        "1000",
    ],
}
"""Rows of the answer to each question, with the columns separated by bars."""


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    """A server with the rows of the shop."""
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as server:
        migrate(services.clickhouse_settings(server.address))
        client = ClickHouseHttp(server.address)
        shop.fill(client)
        yield client


@pytest.fixture
def analyst(writer: ClickHouseHttp) -> ClickHouseHttp:
    return ClickHouseHttp(
        f"http://{writer.netloc}", "analyst", services.ANALYST_PASSWORD, settings={"database": "sequence"}
    )


def at_the_time_of_the_rows(query: str) -> str:
    return query.replace("now()", f"toDateTime('{shop.NOW:%Y-%m-%d %H:%M:%S}', 'UTC')")


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_is_answered(analyst: ClickHouseHttp, question: str) -> None:
    answer = analyst.query(at_the_time_of_the_rows(QUESTIONS[question]))

    assert answer.replace("\t", " | ").splitlines() == ANSWERS[question]


def test_every_answer_is_that_of_a_question() -> None:
    assert QUESTIONS.keys() == ANSWERS.keys()


@pytest.mark.parametrize("query", [query for query in SQL.blocks("sql") if query not in QUESTIONS.values()])
def test_statement_has_an_answer(analyst: ClickHouseHttp, query: str) -> None:
    assert analyst.query(at_the_time_of_the_rows(query))


@pytest.fixture(scope="module")
def made(writer: ClickHouseHttp) -> str:
    """A database with a table `events`, in which a test writes the properties of one row."""
    writer.query("CREATE DATABASE made")
    writer.query("CREATE TABLE made.events (properties JSON(max_dynamic_paths=8)) ENGINE = MergeTree ORDER BY tuple()")
    return "made"


def put_one(writer: ClickHouseHttp, database: str, name: str, text: str) -> None:
    """Make a row with the JSON *text* as the property *name* the only one."""
    writer.query("TRUNCATE TABLE events", database=database)
    shop.put(writer, f"{database}.events", [{"properties": {name: json.loads(text)}}])


@pytest.mark.parametrize("row", SQL.rows("Properties", 1), ids=lambda row: row[0])
def test_functions_return_what_the_table_shows(writer: ClickHouseHttp, made: str, row: list[str]) -> None:
    sent, *shown = [quoted(cell)[0] for cell in row]
    put_one(writer, made, "x", sent)

    at = shown.pop()
    compared = [
        f"{name}(properties.x) IS NOT DISTINCT FROM {literal}"
        for name, literal in zip(
            ("num", "str", "bool", "at"), [*shown, f"toDateTime64OrNull({at}, 6, 'UTC')"], strict=True
        )
    ]
    assert writer.query(f"SELECT {', '.join(compared)} FROM events", database=made) == "1\t1\t1\t1"  # noqa: S608


@pytest.mark.parametrize("row", SQL.rows("Where a type is needed", 0), ids=lambda row: row[0])
def test_refused_statement_has_its_code_and_works_as_written(analyst: ClickHouseHttp, row: list[str]) -> None:
    refused, code, instead = row

    reply = analyst.send(quoted(refused)[0])
    assert reply.code == int(code)
    assert advice(reply.text)
    assert analyst.query(quoted(instead)[0])


KINDS = {"number": "7", "boolean": "true", "array": '["a"]', "object": '{"a": 1}', "text": '"a7"', "null": "null"}


@pytest.mark.parametrize("row", SQL.rows("Where a type is needed", 1), ids=lambda row: row[0])
def test_statement_ends_with_the_codes_shown_at_values_of_other_types(
    writer: ClickHouseHttp, made: str, row: list[str]
) -> None:
    typed, _, codes, instead = row
    found: set[int | None] = set()
    for text in KINDS.values():
        put_one(writer, made, "code", text)
        reply = writer.send(quoted(typed)[0], database=made)
        found.add(reply.code)
        assert (advice(reply.text) != "") == (reply.code is not None)
        assert writer.send(quoted(instead)[0], database=made).status == 200

    assert found - {None} == {int(code) for code in codes.split(", ")}
    assert None in found


@pytest.mark.parametrize("row", SQL.rows("Where a type is needed", 2), ids=lambda row: row[0])
def test_statement_that_surprises_has_another_answer_than_what_to_write(
    analyst: ClickHouseHttp, row: list[str]
) -> None:
    typed, _, instead = row

    assert analyst.query(quoted(typed)[0]) != analyst.query(quoted(instead)[0])


def test_page_names_the_settings_of_the_analyst() -> None:
    named = dict(re.findall(r"`(\w+) = (\d)`", SQL.text))

    assert {name: named.get(name) for name in READING} == {name: str(value) for name, value in READING.items()}


def test_answers_of_the_shop_do_not_depend_on_the_types_of_a_property(writer: ClickHouseHttp) -> None:
    """The control: with the settings of a server's other users, the same statement ends at the first text."""
    query = "SELECT count() FROM sequence.events WHERE properties.price > 10"
    default: dict[str, Any] = {"dynamic_throw_on_type_mismatch": 1}

    assert writer.query(query) == "4"
    assert writer.send(query, **default).code == 386
