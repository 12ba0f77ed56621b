"""`sequence retention`: how long rows are kept, and which leave next."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from deploy.error_messages import report_errors

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.group()
def retention() -> None:
    """Show how long rows are kept.

    Change it with `sequence project update PROJECT --retention 90d`.
    """


@retention.command("show")
@click.option("--project", "project_id", metavar="PROJECT", help="Only this project.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@report_errors
def retention_show(project_id: str | None, *, as_json: bool) -> None:
    """Show the rows of each project: how old, and which leave next.

    LEAVE SOON has the rows that leave within 7 days and the bytes that they
    have, LEFT those that have left within 30 days.

    \b
    Fields of --json: project, days, events, table, rows, oldest, nextRows,
    nextBytes, nextAt, removedRows.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate import retention as operate
    from deploy.operate import servers
    from gateway.projects.admin import list_projects, read_project

    found = servers.find(os.environ)
    if project_id is None:
        projects = found.ask_kafka(list_projects)
    else:
        projects = [found.ask_kafka(lambda kafka: read_project(kafka, project_id))]
    with found.tables(answer_seconds=operate.ANSWER_SECONDS) as clickhouse:
        shown = operate.show(clickhouse, projects)
    rows = [each.describe() for each in shown if as_json or each.rows or each.removed_rows]
    listing.show(rows, _COLUMNS, as_json=as_json, empty="No rows.")


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "PROJECT": lambda row: str(row["project"]),
    "KEPT": lambda row: "unlimited" if row["days"] is None else f"{row['days']} days",
    "TABLE": lambda row: str(row["table"]),
    "ROWS": lambda row: f"{row['rows']:,}",
    "OLDEST": lambda row: "-" if row["oldest"] is None else str(row["oldest"])[:10],
    "LEAVE SOON": lambda row: f"{row['nextRows']:,} ({row['nextBytes'] / 1e6:,.1f} MB)" if row["nextRows"] else "-",
    "FROM": lambda row: "-" if row["nextAt"] is None else str(row["nextAt"])[:16].replace("T", " "),
    "LEFT": lambda row: f"{row['removedRows']:,}" if row["removedRows"] else "-",
}
