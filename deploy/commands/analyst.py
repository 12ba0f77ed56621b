"""`sequence analyst`: logins that read the typed views of one project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.analysts import Logins
    from deploy.operate.servers import Servers
    from processors.clickhouse.client import ClickHouse

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.group()
def analyst() -> None:
    """Manage logins that read the views of one project.

    The login `analyst`, which reads all projects, is none of them.
    """


@analyst.command("create")
@click.argument("name", metavar="NAME")
@click.option("--project", "project_id", metavar="PROJECT", required=True, help="Project whose views it reads.")
@report_errors
def analyst_create(name: str, project_id: str) -> None:
    """Create the login NAME and print its password. The password is shown only once.

    NAME has 1 to 64 letters, digits, `_` and `-`. The login reads the views of PROJECT, those that are made later as
    well, and nothing else.
    """
    from deploy.operate import analysts

    with _logins() as (found, clickhouse, logins):
        analysts.check_project(found, clickhouse, project_id)
        analysts.make_database(clickhouse, project_id)
        password = logins.create(name, project_id)
        _show(found, clickhouse, logins, name, password)


@analyst.command("rotate")
@click.argument("name", metavar="NAME")
@report_errors
def analyst_rotate(name: str) -> None:
    """Give the login NAME a new password and print it. The old one is refused from now on."""
    with _logins() as (found, clickhouse, logins):
        password = logins.rotate(name)
        _show(found, clickhouse, logins, name, password)


@analyst.command("list")
@click.option("--project", "project_id", metavar="PROJECT", help="Only logins of this project.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@report_errors
def analyst_list(project_id: str | None, *, as_json: bool) -> None:
    """List the logins.

    \b
    Fields of --json: name, project, database.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing

    with _logins() as (_, _, logins):
        rows = [
            {"name": login.name, "project": login.project_id, "database": login.database}
            for login in logins.all()
            if project_id in {None, login.project_id}
        ]
    columns = {
        "LOGIN": lambda row: row["name"],
        "PROJECT": lambda row: row["project"],
        "DATABASE": lambda row: row["database"],
    }
    empty = "No logins. Create one with `sequence analyst create NAME --project PROJECT`."
    listing.show(rows, columns, as_json=as_json, empty=empty)


@analyst.command("revoke")
@click.argument("name", metavar="NAME")
@report_errors
def analyst_revoke(name: str) -> None:
    """Remove the login NAME. Its next statement is refused; statements that run end by themselves."""
    with _logins() as (_, _, logins):
        logins.revoke(name)
    click.echo(f"Login {name} revoked.")


def _show(found: Servers, clickhouse: ClickHouse, logins: Logins, name: str, password: str) -> None:
    """Print the password, and what a person needs beside it to standard error."""
    from deploy.operate import analysts
    from processors.clickhouse.client import server_url

    [login] = [each for each in logins.all() if each.name == name]
    click.echo(password)
    url = server_url(found.clickhouse).without_login
    click.echo(f"{name} reads the database {login.database} at {url}. The password is not shown again.", err=True)
    if not analysts.has_views(clickhouse, login):
        click.echo(
            f"Project {login.project_id} has no views yet: the sink makes them within a minute of its first event.",
            err=True,
        )
    if refusal := analysts.refusal(found, login, password):
        click.echo(f"The login does not work yet: {refusal}", err=True)


@contextmanager
def _logins() -> Iterator[tuple[Servers, ClickHouse, Logins]]:
    from deploy.operate import analysts, servers

    found = servers.find(os.environ)
    with found.tables() as clickhouse:
        yield found, clickhouse, analysts.logins(found, clickhouse, os.environ)
