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
    "statement",
    [
        "SELECT lag(toNullable(users)) OVER (ORDER BY month) FROM t",
        "SELECT lag(users, 1, users) OVER (ORDER BY month) FROM t",
        "SELECT 'lag(users)' FROM lag",
        *queries(PAGE.read_text(encoding="utf-8")).values(),
    ],
)
def test_other_statements_have_none(statement: str) -> None:
    assert note(statement) == ""
