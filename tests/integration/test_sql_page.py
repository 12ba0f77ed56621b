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
    "Orders and revenue by day": [
        "2026-03-18 | 1 | 20",
        "2026-03-19 | 1 | 20",
        "2026-03-20 | 1 | 20",
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
TIMES = {"timestamp": "2026-03-20 12:00:00", "received_at": "2026-03-20 12:00:01"}
OTHER_NAMES = {
    "project_id": "other",
    "event": "orderCompleted",
    "user_id": "eve",
    "message_id": "o",
    **TIMES,
    "properties": {"utm.source": "mail", "couponCode": "SPRING", "orderId": "o1", "tags": ["espresso", "tea"]},
}
"""An event of another project, with names that differ from those of the shop."""


def eve() -> list[dict[str, Any]]:
    """Return identifies of a user whose plan changes, is removed and set again."""
    plans: list[dict[str, Any]] = [{"plan": "free"}, {"plan": "pro"}, {}, {"plan": "pro"}]
    user = {"project_id": "dev", "user_id": "eve", **TIMES}
    return [
        {
            **user,
            "message_id": f"e{day}",
            "timestamp": f"2026-03-0{day} 12:00:00",
            "traits": traits,
            "traits_null_keys": [] if traits else ["plan"],
        }
        for day, traits in enumerate(plans, start=1)
    ]


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseHttp]:
    """A server with the rows of the shop."""
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as server:
        migrate(services.clickhouse_settings(server.address))
        client = ClickHouseHttp(server.address)
        shop.fill(client)
        shop.put(client, "sequence.events", [OTHER_NAMES])
        shop.put(client, "sequence.identifies", eve())
        client.query("INSERT INTO sequence.lag SELECT now64(3), 'sink', 'events.v1', number, 1, 7, 60 FROM numbers(4)")
        removal = "'dev', 'events', toMonday(now()), 0, 1, now64(6), now64(6), now64(3), 0, 1"
        client.query(f"INSERT INTO sequence.removals SELECT {removal}")
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


def test_changes_of_a_trait_have_the_values_before_and_after(analyst: ClickHouseHttp) -> None:
    rows = [row.split("\t") for row in analyst.query(SQL.block("sql", "AS before")).splitlines()]

    assert [(at[:10], before, after) for user, at, before, after in rows if user == "eve"] == [
        ("2026-03-01", "\\N", "free"),
        ("2026-03-02", "free", "pro"),
        ("2026-03-03", "pro", "\\N"),
        ("2026-03-04", "\\N", "pro"),
    ]


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


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("SELECT str(properties['utm.source']) FROM events WHERE properties['utm.source'] = 'mail'", "mail"),
        ("SELECT user_id FROM events WHERE str(properties['utm.source']) IN ('mail')", "eve"),
        ("SELECT count(str(properties['utm']['source'])) FROM events", "0"),
        (
            "SELECT sum(num(properties['price'])), sum(num(properties.price)) FROM events",
            "112.5\t112.5",
        ),
        (
            "SELECT countIf(bool(properties['first'])), toDate(max(at(properties['delivery_date']))) FROM events",
            "3\t2026-02-15",
        ),
        ("SELECT properties['price'] AS price FROM events ORDER BY num(price) LIMIT 1", "10"),
        ("SELECT str(traits['plan']) FROM persons WHERE user_id = 'bob'", "free"),
    ],
)
def test_name_in_brackets_is_read_as_it_was_sent(analyst: ClickHouseHttp, statement: str, answer: str) -> None:
    assert analyst.query(statement) == answer


def test_page_names_the_settings_of_the_analyst() -> None:
    named = dict(re.findall(r"`(\w+) = (\d)`", SQL.text))

    assert {name: named.get(name) for name in READING} == {name: str(value) for name, value in READING.items()}


def test_answers_of_the_shop_do_not_depend_on_the_types_of_a_property(writer: ClickHouseHttp) -> None:
    """The control: with the settings of a server's other users, the same statement ends at the first text."""
    query = "SELECT count() FROM sequence.events WHERE properties.price > 10"
    default: dict[str, Any] = {"dynamic_throw_on_type_mismatch": 1}

    assert writer.query(query) == "4"
    assert writer.send(query, **default).code == 386
