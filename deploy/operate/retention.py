"""What the retention of each project means for its rows: how old they are, and what goes next. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from processors.clickhouse.client import ClickHouse
from processors.retention.rules import TABLES, WITH_OWN_DAYS, Rule, expired, expires_at, portions, rules_of
from schemas.clickhouse import Table
from schemas.clickhouse.quoting import literal
from schemas.projects import Project

NEXT_DAYS = 7
"""Rows that leave within so many days are shown."""
LAST_DAYS = 30
"""Rows that have left within so many days are shown."""
ANSWER_SECONDS = 130.0
_SETTINGS = "SETTINGS max_threads = 2, max_execution_time = 120"


@dataclass(slots=True)
class Kept:
    """The rows of a project in a table."""

    project: Project
    table: str
    rows: int = 0
    oldest: datetime | None = None
    next_rows: int = 0
    """Rows that leave within `NEXT_DAYS`."""
    next_bytes: int = 0
    """Bytes on disk that they have, by the average of the table."""
    next_at: datetime | None = None
    """When the first of them leave, at the earliest."""
    removed_rows: int = 0
    """Rows that have left within `LAST_DAYS`."""

    def describe(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "project": self.project.id,
            "days": self.project.retention_days,
            "events": dict(self.project.event_retention),
            "table": self.table,
            "rows": self.rows,
            "oldest": _time(self.oldest),
            "nextRows": self.next_rows,
            "nextBytes": self.next_bytes,
            "nextAt": _time(self.next_at),
            "removedRows": self.removed_rows,
        }


def show(clickhouse: ClickHouse, projects: Sequence[Project]) -> list[Kept]:
    """Return what each of *projects* has in each table that retention is for, projects without any row as well."""
    now = clickhouse.clock()
    found = {(project.id, table.name): Kept(project, table.name) for project in projects for table in TABLES}
    for table in TABLES:
        for row in _rows(clickhouse, table, [project.id for project in projects]):
            kept = found[row["project_id"], table.name]
            kept.rows, kept.oldest = int(row["rows"]), _parsed(int(row["oldest"]))
        _add_next(clickhouse, table, projects, now, found)
    for row in _removed(clickhouse, [project.id for project in projects]):
        if (key := (row["project_id"], row["table_name"])) in found:
            found[key].removed_rows = int(row["rows"])
    return list(found.values())


def _rows(clickhouse: ClickHouse, table: Table, projects: Iterable[str]) -> list[dict[str, Any]]:
    return clickhouse.query(
        "SELECT project_id, count() AS rows, toUnixTimestamp64Micro(min(received_at)) AS oldest"  # noqa: S608  # our own name
        f" FROM {table.name} WHERE has({{projects:Array(String)}}, project_id) GROUP BY project_id {_SETTINGS}",
        {"projects": list(projects)},
    )


def _add_next(
    clickhouse: ClickHouse,
    table: Table,
    projects: Sequence[Project],
    now: float,
    found: dict[tuple[str, str], Kept],
) -> None:
    """Add what leaves *table* within `NEXT_DAYS`."""
    [size] = clickhouse.query(
        "SELECT sum(bytes_on_disk) / greatest(sum(rows), 1) AS bytes FROM system.parts"
        " WHERE database = currentDatabase() AND table = {table:String} AND active",
        {"table": table.name},
    )
    until = now + NEXT_DAYS * 86_400
    for portion in portions(rules_of(projects)):
        condition = expired(portion, table, until)
        if not condition:
            continue
        rows = clickhouse.query(
            f"SELECT project_id, {_own_event(portion, table)} AS own_event, count() AS rows,"  # noqa: S608  # quoted
            f" toUnixTimestamp64Micro(min(received_at)) AS oldest FROM {table.name} WHERE {condition}"
            f" GROUP BY project_id, own_event {_SETTINGS}"
        )
        for row in rows:
            kept = found[str(row["project_id"]), table.name]
            days = dict(kept.project.event_retention).get(str(row["own_event"]), kept.project.retention_days)
            kept.next_rows += int(row["rows"])
            kept.next_bytes = round(kept.next_rows * float(size["bytes"]))
            if days is not None:
                at = expires_at(_parsed(int(row["oldest"])), days)
                kept.next_at = at if kept.next_at is None else min(kept.next_at, at)


def _own_event(rules: Iterable[Rule], table: Table) -> str:
    """Return as SQL the name of the event if a rule is for it alone, otherwise empty text."""
    names = ", ".join(
        f"({literal(rule.project_id)}, {literal(rule.event)})" for rule in rules if rule.event is not None
    )
    return f"if((project_id, event) IN ({names}), event, '')" if names and table.name in WITH_OWN_DAYS else "''"


def _removed(clickhouse: ClickHouse, projects: Iterable[str]) -> list[dict[str, Any]]:
    return clickhouse.query(
        "SELECT project_id, table_name, sum(rows) AS rows FROM removals FINAL"  # noqa: S608  # our own number
        f" WHERE has({{projects:Array(String)}}, project_id) AND removed_at >= now() - INTERVAL {LAST_DAYS} DAY"
        " GROUP BY project_id, table_name",
        {"projects": list(projects)},
    )


def _parsed(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)


def _time(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%dT%H:%M:%SZ}"
