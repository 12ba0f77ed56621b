"""`sequence audit`: compares the tables with the topic that they are filled from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.audit import Audit
    from deploy.operate.refill import Refilled
    from deploy.operate.servers import Servers

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    heading: lambda shown, name=name: str(shown[name])  # type: ignore[misc]  # the default binds the name
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
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--refill", is_flag=True, help="Write the rows that are missing, and compare again.")
@click.option("--include-deleted", is_flag=True, help="Count rows as missing that were removed on purpose.")
@report_errors
def audit_command(*, as_json: bool, refill: bool, include_deleted: bool) -> None:
    """Compare the tables with `events.v1`.

    Counts rows of `events` and `identifies` that are missing, by source offset, as far back as `events.v1` reaches.
    Records that the sink has not reached are waiting; rows at or below a position of `sequence positions keep` are
    removed. Exits with 1 if rows are missing.

    \b
    Fields of --json: missing, written, tables: table, partition, position, inLog,
    inTable, waiting, missing, missingRanges, removed, rejected, unexpected, repeated.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate import audit, servers

    found_servers = servers.find(os.environ)
    found = audit.audit(found_servers, include_deleted=include_deleted)
    refilled = _refill(found_servers, found) if refill and found.missing else None
    if refilled is not None:
        found = audit.audit(found_servers, include_deleted=include_deleted)
    described = [each.describe() for each in found.compared]
    if as_json:
        written = 0 if refilled is None else refilled.written
        click.echo(json.dumps({"missing": found.missing, "written": written, "tables": described}, indent=2))
    else:
        listing.show(described, _COLUMNS, as_json=False, empty="No partitions.")
        for line in audit.lines(found):
            click.echo(line)
    if found.missing:
        if not refill:
            click.echo("Run `sequence audit --refill` to write what is missing.", err=True)
        raise click.exceptions.Exit(1)


def _refill(found_servers: Servers, found: Audit) -> Refilled:
    """Write what is missing, and report it on standard error."""
    from deploy.operate import refill

    def report(done: Refilled) -> None:
        click.echo(f"Written: {done.written} of {found.missing} missing rows.", err=True)

    done = refill.refill(found_servers, found, report)
    for line in done.refused:
        click.echo(f"ClickHouse does not take a row: {line}", err=True)
    return done
