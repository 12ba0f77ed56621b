"""Notes on statements that run."""

from __future__ import annotations

import pytest

from deploy.sql_notes import note
from tests.support.cookbook_page import PAGE, queries


@pytest.mark.parametrize(
    ("statement", "advised"),
    [
        ("SELECT users - lag(users) OVER (ORDER BY month) FROM t", "lag(toNullable(users))"),
        ("SELECT lead(toDate(timestamp), 2) OVER w FROM t", "lead(toNullable(toDate(timestamp)))"),
        ("SELECT leadInFrame (event) OVER w FROM t", "leadInFrame(toNullable(event))"),
    ],
)
def test_neighbour_without_null_has_a_note(statement: str, advised: str) -> None:
    assert f"{advised} returns NULL" in note(statement)


@pytest.mark.parametrize(
    "condition",
    [
        "timestamp BETWEEN '2026-06-01' AND '2026-06-30'",
        "t.timestamp between toDate('2026-06-01')\nAND toDate('2026-06-30')",
        "timestamp >= '2026-06-01' AND timestamp <= '2026-06-30'",
    ],
)
def test_range_that_ends_at_the_begin_of_its_last_day_has_a_note(condition: str) -> None:
    assert note(f"SELECT count() FROM t WHERE {condition}") == (  # noqa: S608  # no query runs
        "Note: '2026-06-30' is 00:00 of that day, so the answer lacks the rest of it."
        " timestamp < toDate('2026-06-30') + 1 includes the day."
    )


def test_statement_has_a_line_for_each_note() -> None:
    statement = "SELECT lag(users) OVER (ORDER BY day) FROM t WHERE timestamp <= '2026-06-30'"
    assert [line[:5] for line in note(statement).splitlines()] == ["Note:", "Note:"]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM t WHERE timestamp BETWEEN '2026-06-01' AND '2026-06-30 23:59:59'",
        "SELECT 1 FROM t WHERE toDate(timestamp) BETWEEN '2026-06-01' AND '2026-06-30'",
        "SELECT 1 FROM t WHERE toDate(timestamp) <= '2026-06-30' -- timestamp <= '2026-06-30'",
        "SELECT 1 FROM t WHERE timestamp >= '2026-06-01' AND timestamp < '2026-07-01'",
        "SELECT 1 FROM t WHERE timestamp BETWEEN '2026-06-01' AND '2026-06-30T10:00:00'",
        "SELECT lag(toNullable(users)) OVER (ORDER BY month) FROM t",
        "SELECT lag(users, 1, users) OVER (ORDER BY month) FROM t",
        "SELECT 'lag(users)' FROM lag",
        *queries(PAGE.read_text(encoding="utf-8")).values(),
    ],
)
def test_other_statements_have_none(statement: str) -> None:
    assert note(statement) == ""
