"""docs/cookbook.md: each query has the result that the page shows, and many results are computed in Python as well.

The computations read the items of the sample and none of the tables.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from deploy.demo.questions import QUESTIONS
from processors.typed_views.naming import database_name
from schemas.items import Item
from tests.support import cookbook_answers, demo_tables, services
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.cookbook_page import PAGE, Rows, ask, queries, results, table
from tests.support.demo_sample import read
from tests.support.documents import page

TEXT = PAGE.read_text(encoding="utf-8")
QUERIES = queries(TEXT)
RESULTS = results(TEXT)
TOLERANCE = 0.051
"""Results are rounded to one or two digits, and counts are whole."""


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return demo_tables.items()


@pytest.fixture(scope="module")
def answer(clickhouse: str, items: list[Item]) -> Iterator[Callable[[str], Rows]]:
    """Return the rows of a query of the page, on the sample in a database of this module."""
    base = f"test_{secrets.token_hex(4)}"
    client = ClickHouseHttp(clickhouse)
    demo_tables.fill(services.clickhouse_settings(clickhouse, base), items)

    @cache
    def rows(sql: str) -> Rows:
        return ask(client, sql.replace("sequence_demo.", f"{base}_demo.").replace("sequence.", f"{base}."))

    yield rows
    for database in (database_name(base, demo_tables.PROJECT), base):
        client.query(f"DROP DATABASE {database}")


def test_every_question_has_a_query_and_a_result() -> None:
    titles = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)

    assert titles == list(QUERIES) == list(RESULTS)
    assert len(titles) == TEXT.count("```sql")


@pytest.mark.parametrize("question", QUERIES)
def test_result_is_that_of_the_page(answer: Callable[[str], Rows], question: str) -> None:
    assert table(answer(QUERIES[question])) == RESULTS[question]


@pytest.mark.parametrize("question", cookbook_answers.ANSWERS)
def test_result_is_what_the_items_say(answer: Callable[[str], Rows], items: list[Item], question: str) -> None:
    expected = cookbook_answers.ANSWERS[question](read(items))

    assert [list(row.values()) for row in answer(QUERIES[question])] == [
        [pytest.approx(cell, abs=TOLERANCE) if isinstance(cell, float) else cell for cell in row] for row in expected
    ]


def test_first_question_shows_the_spellings_of_an_event(answer: Callable[[str], Rows]) -> None:
    first = next(iter(QUESTIONS.values())).replace("DATABASE", "sequence_demo")
    spellings = {row["event"]: row["event_text"] for row in answer(first)}

    assert spellings["order_completed"] == ["Order Completed", "orderCompleted"]
    assert spellings["visit_started"] == ["Visit Started"]


def test_campaigns_are_in_the_columns_of_segment(answer: Callable[[str], Rows]) -> None:
    [row] = answer(
        "SELECT count(utm_source) AS sent, countIf(context_campaign_source = utm_source) AS source,"
        " countIf(context_campaign_medium = utm_medium) AS medium, count(context_campaign_name) AS name"
        " FROM sequence_demo.visit_started"
    )

    assert int(row["sent"]) > 0
    assert len(set(row.values())) == 1


@pytest.mark.parametrize("line", page("docs/views.md").rows("Arrays"), ids=lambda line: line[0])
def test_array_is_read_as_the_page_on_views_says(answer: Callable[[str], Rows], line: list[str]) -> None:
    source, columns = (cell.strip("`") for cell in line[1:])
    rows = answer(f"SELECT {columns} {source}")

    assert len(rows) > 100
    assert all({None, "", 0}.isdisjoint(row.values()) for row in rows)
    assert not any(str(value).startswith(('"', "[", "{")) for row in rows for value in row.values())


@pytest.mark.parametrize("question", QUESTIONS)
def test_question_that_the_command_suggests_has_an_answer(answer: Callable[[str], Rows], question: str) -> None:
    assert answer(QUESTIONS[question].replace("DATABASE", "sequence_demo"))
