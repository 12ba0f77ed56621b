"""`sequence demo`: sample data to try queries on."""

from __future__ import annotations

import os
import shlex
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.demo.run import Bar, Done

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_FIRST_DAY = date(1971, 4, 1)
"""A gateway takes an earlier time, or one more than a day ahead, for none."""
_DEFAULT_EVENTS = 100_000
_MOST_EVENTS = 1_000_000
"""More would not fit into memory on a small machine."""


@click.command("demo")
@click.option("--project", "project_id", metavar="ID", default="demo", show_default=True, help="Project to send to.")
@click.option(
    "--events",
    type=click.IntRange(1, _MOST_EVENTS),
    default=_DEFAULT_EVENTS,
    show_default=True,
    help="Number of different tracks and identifies.",
)
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Last day of the sample, in UTC.  [default: yesterday, or that of the sample which the project has]",
)
@click.option("--gateway", metavar="URL", help="Address of a gateway.  [default: that of the local stack]")
@report_errors
def demo_command(project_id: str, events: int, until: datetime | None, gateway: str | None) -> None:
    """Send sample data of a shop and make its typed views.

    The data are 90 days of visits, orders and profiles, with the faults of real data: numbers sent as text, renamed
    properties, late and repeated events. The same options send the same items, so a second run within the dedupe
    window changes nothing. Creates the project if it does not exist, and a write token that expires in an hour.
    """
    if until is not None and not _FIRST_DAY <= until.date() <= datetime.now(UTC).date():
        raise click.BadParameter(
            f"{until.date()} is not from {_FIRST_DAY} to today. Other times are replaced by the time received.",
            param_hint="'--until'",
        )
    from deploy.commands import gateways
    from deploy.demo import run
    from deploy.local.quickstart import TOKEN_FILE, local_commands
    from deploy.operate import servers, status_local
    from schemas.settings import DedupeSettings, load

    found = servers.find(os.environ)
    wanted = run.Wanted(
        project_id=project_id,
        events=events,
        until=None if until is None else until.date(),
        gateway=gateways.address(found, gateway, os.environ),
        window_days=load(DedupeSettings, os.environ).window_days,
    )
    done = run.run(found, wanted, _bar)
    sql = local_commands(status_local.directory(os.environ) / TOKEN_FILE, os.environ).sql
    _say(done, project_id, sql if found.is_local else "sequence sql")


def _bar(label: str, length: int) -> AbstractContextManager[Bar]:
    return click.progressbar(length=length, label=label, file=click.get_text_stream("stderr"), show_pos=True)


def _say(done: Done, project_id: str, sql: str) -> None:
    from deploy.demo.questions import QUESTIONS

    were_there = "" if done.new >= done.items else f", of which {done.items - done.new:,} were there before"
    click.echo(
        f"Project {project_id} has {done.items:,} items from {done.since} to {done.until}{were_there}.\n"
        f"Its typed views are in the database {done.database}. Ask first:\n"
    )
    for question, statement in QUESTIONS.items():
        query = statement.replace("DATABASE", done.database)
        click.echo(f"{question}\n\n  {sql} {shlex.quote(query)}\n")
    click.echo("docs/cookbook.md has more questions with their queries.")
