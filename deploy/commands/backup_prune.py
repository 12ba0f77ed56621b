"""`sequence backup prune`: delete old backups."""

from __future__ import annotations

from pathlib import Path

import click

from deploy.error_messages import report_errors

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.command("prune")
@click.argument("directory", metavar="DIRECTORY", type=click.Path(path_type=Path))
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(1),
    metavar="DAYS",
    required=True,
    help="Age in days of the backups to delete.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and change nothing.")
@report_errors
def prune(directory: Path, days: int, *, dry_run: bool) -> None:
    """Delete the old backups in DIRECTORY.

    Keeps the newest complete one, and those that a newer one needs as its base. Backups whose rows are at a
    destination of ClickHouse are named, and stay.
    """
    from datetime import UTC, datetime

    from deploy.operate import backup_prune
    from deploy.operate.backup_directory import Directory

    backups = Directory(directory)
    backups.names()
    with backups.locked():
        plan = backup_prune.make_plan(backups.complete(), days, datetime.now(UTC))
        if not dry_run:
            backup_prune.delete(backups, plan)
    for each in plan.deleted:
        click.echo(f"{each.name}: {'would be deleted' if dry_run else 'deleted'}")
    for each in plan.needed:
        click.echo(f"{each.name}: kept, a newer backup needs it")
    for each in plan.elsewhere:
        click.echo(f"{each.name}: kept. Delete its rows at {each.destination}, then the directory {each.name}.")
    if not (plan.deleted or plan.needed or plan.elsewhere):
        days_old = f"{days} {'day' if days == 1 else 'days'}"
        click.echo(f"No backup but the newest is older than {days_old}.")
