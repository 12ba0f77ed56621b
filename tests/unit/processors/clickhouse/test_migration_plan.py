"""The plan of migrations: what runs, how long the copies take, and how far they are."""

from __future__ import annotations

import pytest

from processors.clickhouse.copied_tables import require_space
from processors.clickhouse.errors import MigrationError
from processors.clickhouse.migration_plan import CopiedTable, Plan, progress

EVENTS = CopiedTable("events", 1_000_000, 310_000_000, 420_000_000)
LARGE = CopiedTable("identifies", 2_000_000_000, 900_000_000_000, 1_200_000_000_000)


def test_plan_of_nothing_has_no_lines() -> None:
    assert list(Plan([]).lines()) == []


def test_plan_without_copies_names_the_migrations_alone() -> None:
    assert list(Plan(["0001.sql", "0002.sql"]).lines()) == ["To apply: 0001.sql, 0002.sql."]


def test_plan_tells_rows_time_and_space_of_each_copy_and_of_all() -> None:
    names, events, large, total = Plan(["0017.sql"], [EVENTS, LARGE], 2_000_000_000_000).lines()

    assert names == "To apply: 0017.sql."
    assert events == f"events: 1,000,000 rows are copied, 310.0 MB, about {EVENTS.seconds:.0f} s."
    assert large == f"identifies: 2,000,000,000 rows are copied, 900.0 GB, about {LARGE.seconds / 3600:.1f} h."
    assert total.startswith(
        f"In all about {(EVENTS.seconds + LARGE.seconds) / 3600:.1f} h on an idle server, and 900.3 GB"
    )
    assert "ClickHouse has 2000.0 GB left." in total


def test_estimate_grows_with_rows_and_with_their_size() -> None:
    assert CopiedTable("a", 2, 0, 10).seconds > CopiedTable("a", 1, 0, 10).seconds
    assert CopiedTable("a", 1, 0, 20).seconds > CopiedTable("a", 1, 0, 10).seconds


@pytest.mark.parametrize(
    ("rows", "seconds", "line"),
    [
        (0, 60.0, "events: 0 of 1,000,000 rows are copied."),
        (500_000, 0.5, "events: 500,000 of 1,000,000 rows are copied."),
        (250_000, 10.0, "events: 250,000 of 1,000,000 rows are copied, 30 s left."),
        (10_000, 10.0, "events: 10,000 of 1,000,000 rows are copied, 16 min left."),
        (1_000_100, 10.0, "events: 1,000,100 of 1,000,000 rows are copied, 0 s left."),
    ],
)
def test_progress_tells_the_rest_by_the_rate_until_now(rows: int, seconds: float, line: str) -> None:
    assert progress(EVENTS, rows, seconds) == line


def test_copies_that_do_not_fit_together_are_refused() -> None:
    require_space(Plan(["0017.sql"], [EVENTS, EVENTS], 620_000_000))

    with pytest.raises(
        MigrationError, match=r"events and events have 0\.6 GB to copy, and ClickHouse has 0\.6 GB left"
    ):
        require_space(Plan(["0017.sql"], [EVENTS, EVENTS], 619_000_000))
