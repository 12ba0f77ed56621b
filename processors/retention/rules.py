"""What has expired: the rules of the projects as conditions in SQL, and what of a removal is to be recorded. Pure.

Rows expire by the week of their receipt: once the whole week is older than the days of its project. So a row leaves
within seven days after its time, each part of a table is rewritten at most once for each number of days, and a part of
whose rows all have expired is dropped without reading it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, REJECTED, Table
from schemas.clickhouse.quoting import literal
from schemas.projects import Project

TABLES = (EVENTS, IDENTIFIES, DUPLICATES, REJECTED)
"""Tables whose rows expire."""
WITH_OWN_DAYS = frozenset({EVENTS.name, DUPLICATES.name})
"""Tables whose events may have fewer days than their project. `rejected.v1` is kept for longer than these."""
PROJECTS_AT_ONCE = 500
"""Projects of one statement, which stays far below ClickHouse's limit of 256 KiB."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of a project, of one event or of all, are kept for some days after their receipt."""

    project_id: str
    days: int
    event: str | None = None


def rules_of(projects: Iterable[Project]) -> list[Rule]:
    """Return the rules of *projects*, ordered by project. Rows without a rule are kept without a limit."""
    rules = []
    for project in sorted(projects, key=lambda each: each.id):
        if project.retention_days:
            rules.append(Rule(project.id, project.retention_days))
        for event, days in project.event_retention:
            if project.retention_days is None or days < project.retention_days:
                rules.append(Rule(project.id, days, event))
    return rules


def portions(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Return the rules in portions of `PROJECTS_AT_ONCE` projects, those of a project together."""
    found: list[list[Rule]] = []
    projects: set[str] = set()
    for rule in rules:
        if not found or (rule.project_id not in projects and len(projects) == PROJECTS_AT_ONCE):
            found.append([])
            projects = set()
        projects.add(rule.project_id)
        found[-1].append(rule)
    return found


def first_kept_day(now: float, days: int) -> date:
    """Return the Monday from which on rows that are kept for *days* have not expired at *now*, seconds since 1970."""
    day = (datetime.fromtimestamp(now, UTC) - timedelta(days=days)).date()
    return day - timedelta(days=day.weekday())


def expires_at(received_at: datetime, days: int) -> datetime:
    """Return when a row that is kept for *days* expires."""
    monday = received_at.astimezone(UTC).date() - timedelta(days=received_at.astimezone(UTC).weekday())
    return datetime(monday.year, monday.month, monday.day, tzinfo=UTC) + timedelta(days=days + 7)


def expired(rules: Iterable[Rule], table: Table, now: float) -> str:
    """Return the condition in SQL of the rows of *table* that have expired by *rules* at *now*; empty for none.

    Projects come first in the sorting keys and weeks are partitions, so ClickHouse reads what has expired alone.
    """
    projects: dict[int, list[str]] = defaultdict(list)
    events: dict[tuple[str, int], list[str]] = defaultdict(list)
    for rule in rules:
        if rule.event is None:
            projects[rule.days].append(rule.project_id)
        elif table.name in WITH_OWN_DAYS:
            events[rule.project_id, rule.days].append(rule.event)
    conditions = [
        f"(project_id IN ({_listed(names)}) AND {_before(now, days)})" for days, names in sorted(projects.items())
    ]
    conditions += [
        f"(project_id = {literal(project_id)} AND event IN ({_listed(names)}) AND {_before(now, days)})"
        for (project_id, days), names in sorted(events.items())
    ]
    return f"({' OR '.join(conditions)})" if conditions else ""


@dataclass(frozen=True, slots=True)
class Counted:
    """The rows of a project in a week of a table."""

    project_id: str
    rows: int
    expired: int
    oldest: float = 0.0
    """When the first of the expired ones was received, in seconds since 1970; `newest` the last."""
    newest: float = 0.0


@dataclass(frozen=True, slots=True)
class Removal:
    """What is removed of a project from a week of a table: a row of `removals`."""

    project_id: str
    number: int
    """0 for the first removal of the project from this week."""
    rows: int
    left: int
    """Rows that stay."""
    oldest: float
    newest: float
    is_done: bool = False


def planned(counted: Iterable[Counted], known: Iterable[Removal]) -> list[Removal]:
    """Return what to record of a removal from a week before it begins, and of those that have ended.

    *known* are the removals from this week so far. One that is not done may have been interrupted: what it has removed
    is the difference of the rows there were and those there are, and counts with what is removed now.
    """
    now = {each.project_id: each for each in counted}
    last: dict[str, Removal] = {}
    for each in sorted(known, key=lambda each: each.number):
        last[each.project_id] = each
    found = []
    for project_id in sorted(now.keys() | last.keys()):
        here, before = now.get(project_id, Counted(project_id, 0, 0)), last.get(project_id)
        if before is None or before.is_done:
            if here.expired:
                number = 0 if before is None else before.number + 1
                left = here.rows - here.expired
                found.append(Removal(project_id, number, here.expired, left, here.oldest, here.newest))
            continue
        removed = max(0, before.rows + before.left - here.rows)
        found.append(
            Removal(
                project_id,
                before.number,
                removed + here.expired,
                here.rows - here.expired,
                min(before.oldest, here.oldest) if here.expired else before.oldest,
                max(before.newest, here.newest) if here.expired else before.newest,
                is_done=not here.expired,
            )
        )
    return found


def _before(now: float, days: int) -> str:
    return f"received_at < toDateTime64('{first_kept_day(now, days).isoformat()} 00:00:00', 6, 'UTC')"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(literal, sorted(names)))
