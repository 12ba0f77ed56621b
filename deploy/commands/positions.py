"""`sequence positions`: where the sink continues, and what an operator decides about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.accept import Stage

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "TABLE": lambda shown: str(shown["table"]),
    "LOG": lambda shown: str(shown["log"]),
    "PARTITION": lambda shown: str(shown["partition"]),
    "POSITION": lambda shown: str(shown["position"]),
    "OF ROWS": lambda shown: _or_none(shown["rowPosition"]),
    "NOTED": lambda shown: " ".join([_or_none(shown["notedPosition"]), *shown["reasons"]]),
    "COMMITTED": lambda shown: _or_none(shown["committed"]),
    "AT COMMIT": lambda shown: _or_none(shown["committedPosition"]),
    "LOG END": lambda shown: _or_none(shown["logEnd"]),
    "LAG": lambda shown: _or_none(shown["lag"]),
}


def _or_none(value: object) -> str:
    return "-" if value is None else str(value)


@click.group()
def positions() -> None:
    """Manage positions, where the sink continues to fill each table."""


@positions.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@report_errors
def positions_show(*, as_json: bool) -> None:
    """Show the positions of each table.

    A position is a source offset: every row up to it is written, rejected or removed on purpose. Committed offsets and
    ends of logs are offsets of the topic that the table is filled from.

    \b
    Fields of --json: table, log, partition, position, rowPosition, notedPosition,
    reasons, topic, logStart, logEnd, committed, committedPosition, lag.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate import positions as operate
    from deploy.operate import servers

    shown = operate.show(servers.find(os.environ))
    listing.show(shown, _COLUMNS, as_json=as_json, empty="No positions. The tables have no rows.")


@positions.command("keep")
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Table to keep.  [default: all]")
@report_errors
def positions_keep(tables: tuple[str, ...]) -> None:
    """Note positions before you delete rows.

    Run it before DELETE and DROP PARTITION. Without it, the sink writes rows again that were the newest of their
    Kafka partition.
    """
    from deploy.operate import positions as operate
    from deploy.operate import servers

    kept = operate.keep(servers.find(os.environ), tables)
    for shown in kept:
        click.echo(f"{shown.table.name}: log {shown.log}, partition {shown.partition}, position {shown.position} kept.")
    if not kept:
        click.echo("Nothing to keep. The tables have no rows.")


@positions.command("accept")
@click.option("--stage", required=True, type=click.Choice(["dedupe", "persons", "sink"]), help="Kind of the worker.")
@click.option(
    "--partition",
    "partitions",
    required=True,
    multiple=True,
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Partition that has the loss, repeatable.",
)
@click.option("--yes", is_flag=True, help="Accept the loss without a question.")
@report_errors
def positions_accept(stage: Stage, partitions: tuple[int, ...], *, yes: bool) -> None:
    """Accept a loss that exit code 78 names.

    The workers of the stage continue with the first record that is left. Stop them first.
    """
    from deploy.operate import accept, servers

    found = servers.find(os.environ)
    losses = accept.find(found, stage, partitions, lambda line: click.echo(line, err=True))
    lines = [line for loss in losses for line in loss.lines]
    click.echo("Given up:" if lines else "No loss was found: every offset is read or still available.")
    for line in lines:
        click.echo(f"  {line}")
    if not yes and not (sys.stdin.isatty() and click.confirm("Accept this?")):
        click.echo("Nothing was changed. Add --yes to accept this.")
        raise click.exceptions.Exit(1)
    accept.accept(found, stage, losses)
    click.echo(f"Accepted. Start `sequence worker {stage}`.")


@positions.command("add-log")
@click.option("--id", "log", type=click.IntRange(1, 65_535), help="ID that the log had.  [default: the next one]")
@report_errors
def positions_add_log(log: int | None) -> None:
    """Register a Kafka that replaces another.

    Its source offsets count from the beginning. Rows that are written from now on have the ID of the new log.
    """
    from deploy.operate import logs, servers

    added, identity = logs.add(servers.find(os.environ), log)
    click.echo(f"Log {added}: {identity}.")
