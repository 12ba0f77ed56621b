"""`sequence views`: typed views for analysts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from processors.clickhouse.client import ClickHouse
    from processors.typed_views.refresh import Refreshed

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_PROJECT = click.option("--project", "project_id", metavar="PROJECT", help="Only views of this project.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
_VIEWS_SHOWN = 3


@click.group()
def views() -> None:
    """List typed views and declare the types of their columns.

    The sink makes a database for each project, with a view for each event and a typed column for each property.
    """


@views.command("list")
@_PROJECT
@_JSON
@report_errors
def views_list(project_id: str | None, *, as_json: bool) -> None:
    """List the views of all projects.

    \b
    Fields of --json: project, database, view, columns.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate import typed_views

    with _tables() as clickhouse:
        found = typed_views.listed(clickhouse, project_id)
    rows = [
        {"project": view.project_id, "database": view.database, "view": view.name, "columns": len(view.columns)}
        for view in found
    ]
    columns = {
        "PROJECT": lambda row: row["project"],
        "VIEW": lambda row: f"{row['database']}.{row['view']}",
        "COLUMNS": lambda row: str(row["columns"]),
    }
    empty = "No views. The sink makes them within a minute of the first event."
    listing.show(rows, columns, as_json=as_json, empty=empty)


@views.command("show")
@click.argument("project_id", metavar="PROJECT")
@click.argument("name", metavar="VIEW|EVENT")
@_JSON
@report_errors
def views_show(project_id: str, name: str, *, as_json: bool) -> None:
    """Show the columns of a view of PROJECT, with types and comments: those of properties and traits first.

    \b
    Fields of --json: column, type, declared, elsewhere, comment. `elsewhere` has the views of the project in which a
    column of this name has another type, by type: a join needs one type, such as str(order_id).
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate import typed_views

    with _tables() as clickhouse:
        view = typed_views.shown(clickhouse, project_id, name)
    rows = [
        {
            "column": column,
            "type": kind,
            "declared": view.declared.get(column),
            "elsewhere": view.elsewhere.get(column, {}),
            "comment": comment,
        }
        for column, kind, comment in view.columns
    ]
    columns = {
        "COLUMN": lambda row: row["column"],
        "TYPE": lambda row: row["type"],
        "DECLARED": lambda row: row["declared"] or "",
        "ELSEWHERE": lambda row: "; ".join(f"{kind} in {_some(names)}" for kind, names in row["elsewhere"].items()),
        "COMMENT": lambda row: row["comment"],
    }
    listing.show(rows, columns, as_json=as_json, empty=f"{name} has no columns.")


def _some(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _VIEWS_SHOWN} more"] if len(names) > _VIEWS_SHOWN else []
    return ", ".join([*names[:_VIEWS_SHOWN], *more])


@views.command("apply")
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@report_errors
def views_apply(file: Path, *, dry_run: bool) -> None:
    """Declare the types of columns as FILE says, and replace the views that differ.

    A declared type counts before the one that was chosen. FILE is TOML and complete for the projects that it names:

    \b
      [projects.shop.events."Order Completed"]
      price = "decimal(18, 2)"
      [projects.shop.traits]
      birthday = "date"
      [projects.shop.events_with_person]
      plan = "text"

    Types are integer, float, boolean, text, date, time and decimal(P, S). Values of other types are NULL in the column
    and stay in `properties` or `traits`.
    """  # noqa: D301  # \b keeps click from wrapping the example
    from deploy.operate import typed_views, view_declarations

    declared = view_declarations.parse(file.read_text(encoding="utf-8"))
    with _tables() as clickhouse:
        pending = typed_views.pending_changes(clickhouse, declared)
        for project, changes in pending.items():
            for change in changes:
                before, after = change.before or "not declared", change.after or "not declared"
                click.echo(f"{project}  {change.view}.{change.column}: {before} -> {after}")
        for project, view in typed_views.unseen_views(clickhouse, pending):
            click.echo(
                f"Warning: no event of {project} has the view {view} yet. Check the name of the event.", err=True
            )
        if not any(pending.values()):
            click.echo("Nothing to change.")
        if not dry_run:
            _say(typed_views.apply(clickhouse, pending))


@views.command("refresh")
@report_errors
def views_refresh() -> None:
    """Make the views that differ from the catalogue now, as the sink does within a minute."""
    from deploy.operate import typed_views

    with _tables() as clickhouse:
        _say(typed_views.refresh(clickhouse))


def _say(done: list[Refreshed]) -> None:
    for each in done:
        for name in each.made:
            click.echo(f"{each.database}.{name} made.")
        for name in each.foreign:
            click.echo(f"{each.database}.{name} is not a view of Sequence events, and stays.")


@contextmanager
def _tables() -> Iterator[ClickHouse]:
    from deploy.operate import servers

    with servers.find(os.environ).tables() as clickhouse:
        yield clickhouse
