"""`sequence audit`: whether every item that was received is in one place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from deploy.durations import Since
from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.audit import Audit
    from deploy.operate.refill import Refilled
    from deploy.operate.servers import Servers

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


def _cell(name: str, value: object) -> str:
    return "-" if name == "position" and value == -1 else str(value)


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    heading: lambda shown, name=name: _cell(name, shown[name])  # type: ignore[misc]  # the default binds the name
    for heading, name in (
        ("TABLE", "table"),
        ("PARTITION", "partition"),
        ("POSITION", "position"),
        ("IN LOG", "inLog"),
        ("IN TABLE", "inTable"),
        ("WAITING", "waiting"),
        ("MISSING", "missing"),
        ("REMOVED", "removed"),
        ("REJECTED", "rejected"),
        ("UNEXPECTED", "unexpected"),
    )
}


@click.command("audit")
@click.option("--project", "project_id", default="", metavar="ID", help="Count items of this project only.")
@click.option(
    "--since", type=Since(), metavar="TIME", help="Count items since then, for example `24h` or `2026-01-31T12:00:00Z`."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--refill", is_flag=True, help="Write the rows that are missing, and compare again.")
@click.option("--include-deleted", is_flag=True, help="Count rows as missing that were removed on purpose.")
@report_errors
def audit_command(
    project_id: str, since: datetime | None, *, as_json: bool, refill: bool, include_deleted: bool
) -> None:
    """Compare the tables with the topics.

    Compares source offsets: those of `items.v1` with `events.v1`, `duplicates.v1` and `rejected.v1`, and those of the
    topics with the tables, as far back as the topics reach. Items that a stage has not processed are waiting; rows at
    or below a position of `sequence positions keep` are removed. Exits with 1 if anything is missing or too much.

    \b
    Fields of --json: addsUp, missing, written, faults, ledger (received, accepted,
    rejectedByGateway, unique, duplicates, rejectedByDedupe, waiting, missing,
    ofUnique, ofDuplicates, ofRejected), tables (table, partition, position, inLog,
    inTable, waiting, missing, missingRanges, removed, rejected, unexpected, repeated).
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate import audit, servers

    found_servers = servers.find(os.environ)
    compare = partial(audit.audit, found_servers, include_deleted=include_deleted, project_id=project_id, since=since)
    found = compare()
    refilled = _refill(found_servers, found) if refill and found.missing else None
    if refilled is not None:
        found = compare()
    if as_json:
        click.echo(json.dumps(_describe(found, 0 if refilled is None else refilled.written), indent=2))
    else:
        listing.show([each.describe() for each in found.compared], _COLUMNS, as_json=False, empty="No partitions.")
        click.echo("\n" + "\n".join([*found.ledger.lines(), *audit.lines(found)]))
        click.echo("The numbers add up." if found.adds_up else "The numbers do not add up.")
    if project_id and not (found.ledger.accepted or found.ledger.rejected_by_gateway):
        click.echo(f"The topics have no items of project {project_id}. `sequence project list` shows all.", err=True)
    if found.missing and not refill:
        click.echo("Run `sequence audit --refill` to write what is missing.", err=True)
    if not found.adds_up:
        raise click.exceptions.Exit(1)


def _describe(found: Audit, written: int) -> dict[str, Any]:
    return {
        "addsUp": found.adds_up,
        "missing": found.missing,
        "written": written,
        "faults": found.ledger.faults,
        "ledger": found.ledger.describe(),
        "tables": [each.describe() for each in found.compared],
    }


def _refill(found_servers: Servers, found: Audit) -> Refilled:
    """Write what is missing, and report it on standard error."""
    from deploy.operate import refill

    def report(done: Refilled) -> None:
        click.echo(f"Written: {done.written} of {found.missing} missing rows.", err=True)

    done = refill.refill(found_servers, found, report)
    for line in done.refused:
        click.echo(f"ClickHouse does not take a row: {line}", err=True)
    return done
