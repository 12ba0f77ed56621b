"""Which rows have expired, and what of a removal is recorded, against a model of rows, classes and interruptions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from processors.retention import rules as rules_module
from processors.retention.rules import (
    Counted,
    Removal,
    Rule,
    expired,
    expires_at,
    first_kept_day,
    planned,
    portions,
    rules_of,
)
from schemas.clickhouse import EVENTS, IDENTIFIES
from schemas.projects import Project
from schemas.retention import CLASSES, week_of

DAY = 86_400.0
NOW = datetime(2026, 11, 30, 15, tzinfo=UTC)  # a Monday
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))  # noqa: DTZ001
DAYS = st.sampled_from([14, *CLASSES])


def project(name: str, days: int | None, *events: tuple[str, int]) -> Project:
    return Project(name, name, 0, retention_days=days, event_retention=events)


@given(TIMES, DAYS)
def test_row_is_kept_for_its_days_and_gone_a_week_later(received: datetime, days: int) -> None:
    end = expires_at(received, days)

    assert timedelta(days=days) < end - received <= timedelta(days=days + 7)


@given(TIMES, TIMES, DAYS)
def test_condition_and_time_of_expiry_agree(received: datetime, now: datetime, days: int) -> None:
    first_kept = first_kept_day(now.timestamp(), days)

    assert (received.date() < first_kept) == (expires_at(received, days) <= now)


@given(TIMES)
def test_week_of_a_row_is_the_partition_that_expires_as_a_whole(received: datetime) -> None:
    monday = datetime.fromisoformat(week_of(received.isoformat())).replace(tzinfo=UTC)

    assert monday.weekday() == 0
    assert monday <= received < monday + timedelta(days=7)
    assert expires_at(received, 30) == expires_at(monday, 30)


def test_text_that_is_no_time_is_a_week_of_its_own() -> None:
    assert week_of("yesterday, or so") == "yesterday,"
    assert week_of("0001-01-01T00:00:00Z") == "0001-01-01"


def test_rules_are_those_of_projects_and_of_events_with_fewer_days() -> None:
    found = rules_of(
        [project("b", 30, ("Shorter", 14), ("Longer", 60)), project("a", None, ("View", 90)), project("c", None)]
    )

    assert found == [Rule("a", 90, "View"), Rule("b", 30), Rule("b", 14, "Shorter")]


def test_condition_names_the_rows_of_each_class() -> None:
    rules = [Rule("a", 30), Rule("b", 30), Rule("c", 400), Rule("b", 14, "it's")]

    assert expired(rules, EVENTS, NOW.timestamp()) == (
        "((project_id IN ('a', 'b') AND received_at < toDateTime64('2026-10-26 00:00:00', 6, 'UTC'))"
        " OR (project_id IN ('c') AND received_at < toDateTime64('2025-10-20 00:00:00', 6, 'UTC'))"
        r" OR (project_id = 'b' AND event IN ('it\'s')"
        " AND received_at < toDateTime64('2026-11-16 00:00:00', 6, 'UTC')))"
    )
    assert "event" not in expired(rules, IDENTIFIES, NOW.timestamp())
    assert expired(rules[3:], IDENTIFIES, NOW.timestamp()) == ""


def test_portions_keep_the_rules_of_a_project_together() -> None:
    rules = [rule for number in range(1_200) for rule in (Rule(f"p{number}", 30), Rule(f"p{number}", 14, "e"))]

    found = portions(rules)

    assert [rule for portion in found for rule in portion] == rules
    assert [len({rule.project_id for rule in portion}) for portion in found] == [500, 500, 200]
    assert portions([]) == []


STEPS = st.lists(st.sampled_from(["plan", "half", "all", "longer", "shorter", "arrive"]), max_size=12)


class Week:
    """The rows of one project in one week: by age, whether they are due, and what is recorded of them."""

    def __init__(self) -> None:
        self.rows = {"old": 40, "new": 60}
        self.due: set[str] = {"old"}
        self.removed = 0
        self.known: dict[int, Removal] = {}

    def plan(self) -> None:
        due = sum(self.rows[age] for age in self.due)
        counted = [Counted("p", sum(self.rows.values()), due, 1.0, 2.0)] if any(self.rows.values()) else []
        for each in planned(counted, self.known.values()):
            self.known[each.number] = each

    def remove(self, *, half: bool) -> None:
        """Remove what is due, as a pass does that has recorded it; a kill leaves half of it."""
        self.plan()
        for age in self.due:
            gone = self.rows[age] // 2 if half else self.rows[age]
            self.rows[age] -= gone
            self.removed += gone

    def step(self, name: str) -> None:
        if name == "plan":
            self.plan()
        elif name in ("half", "all"):
            self.remove(half=name == "half")
        elif name == "longer":
            self.due = set()
        elif name == "shorter":
            self.due = {"old", "new"}
        elif all(each.is_done for each in self.known.values()):
            self.rows["old"] += 7


@given(STEPS)
def test_records_count_each_removed_row_once_whatever_interrupts(steps: list[str]) -> None:
    week = Week()
    for step in steps:
        week.step(step)

    week.remove(half=False)
    week.plan()
    week.plan()

    assert all(each.is_done for each in week.known.values())
    assert sum(each.rows for each in week.known.values()) == week.removed


def test_repetition_that_forgets_what_was_removed_would_count_too_little() -> None:
    """The control: without the difference to the record before, an interrupted removal loses its first half."""
    before = Removal("p", 0, 40, 60, 1.0, 2.0)

    [ours] = planned([Counted("p", 80, 20, 1.5, 2.0)], [before])
    [forgetful] = planned([Counted("p", 80, 20, 1.5, 2.0)], [])

    assert (ours.rows, ours.left, ours.oldest) == (40, 60, 1.0)
    assert forgetful.rows == 20


def test_later_removal_of_a_project_has_the_next_number() -> None:
    done = Removal("p", 0, 40, 60, 1.0, 2.0, is_done=True)

    assert planned([Counted("p", 60, 60, 1.0, 2.0)], [done]) == [Removal("p", 1, 60, 0, 1.0, 2.0)]
    assert planned([Counted("p", 60, 0)], [done]) == []
    assert planned([], [replace(done, is_done=False, left=0)]) == [replace(done, left=0)]


def test_tables_with_times_of_receipt_expire() -> None:
    assert all("received_at" in dict(table.columns) for table in rules_module.TABLES)
