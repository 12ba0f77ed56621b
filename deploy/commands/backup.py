"""`sequence backup` and `sequence restore`: save the tables and projects, and restore them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deploy.commands.backup_prune import prune
from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.backup_manifest import Manifest
    from deploy.operate.backup_statements import Destination
    from deploy.operate.restore import Plan
    from deploy.operate.restore_tables import Checked
    from deploy.operate.servers import Servers

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_DIRECTORY = click.argument("directory", metavar="DIRECTORY", type=click.Path(path_type=Path))
_NAME = click.option("--backup", "name", metavar="NAME", help="Backup to use.  [default: the newest complete one]")
_TABLES_ONLY = click.option("--tables-only", is_flag=True, help="Leave out Kafka, which need not run.")
_TO = click.option("--to", metavar="DESTINATION", help="Where a server has the rows.  [default: SEQUENCE_BACKUP_TO]")


class _Backup(click.Group):
    """A group whose command `create` needs no name: `sequence backup DIRECTORY`."""

    def with_command(self, args: list[str]) -> list[str]:
        """Return *args* with the name of the command that they mean. A name that is nearly one is a mistake."""
        if not args or args[0] in {"-h", "--help"} or get_close_matches(args[0], self.commands, n=1, cutoff=0.7):
            return args
        return ["create", *args]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self.with_command(args))


@click.group(cls=_Backup, subcommand_metavar="[OPTIONS] DIRECTORY | COMMAND [ARGS]...")
def backup() -> None:
    """Save the tables and projects, or check a backup.

    `sequence backup DIRECTORY` is `sequence backup create DIRECTORY`.
    """


backup.add_command(prune)


@backup.command("create")
@_DIRECTORY
@click.option("--full", is_flag=True, help="Copy every part. By default, only what the newest backup does not have.")
@click.option("--to", metavar="DESTINATION", help="Where a server writes the rows.  [default: SEQUENCE_BACKUP_TO]")
@_TABLES_ONLY
@report_errors
def create(directory: Path, to: str | None, *, full: bool, tables_only: bool) -> None:
    """Save the tables and projects in DIRECTORY.

    Events can flow meanwhile. DESTINATION is one of ClickHouse's own, such as S3('https://...', 'key', 'secret') or
    Disk('backups', 'path'). Without it, ClickHouse writes the rows to DIRECTORY as well.
    """
    from deploy.operate import backup as operate
    from deploy.operate import servers, status_local
    from deploy.operate.backup_directory import Directory

    found = servers.find(os.environ)
    plan = operate.Plan(
        Directory(directory),
        _destination(directory, to),
        tables_only,
        full,
        status_local.directory_of(found, os.environ),
    )
    click.echo(_line(operate.create(found, plan, _say)))


@backup.command("list")
@_DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@report_errors
def backup_list(directory: Path, *, as_json: bool) -> None:
    """List the backups in DIRECTORY, oldest first.

    \b
    Fields of --json: name, complete, createdAt, base, rows, bytes, seconds,
    destination, version.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate.backup_directory import Directory

    backups = Directory(directory)
    shown = [_described(name, backups.manifest(name)) for name in backups.names()]
    listing.show(shown, _COLUMNS, as_json=as_json, empty=f"{directory} has no backup.")


@backup.command("verify")
@_DIRECTORY
@_NAME
@_TO
@report_errors
def verify(directory: Path, name: str | None, to: str | None) -> None:
    """Restore a backup into a database of its own, compare it, and remove the database.

    Compares rows and checksums of each table with what the backup had, and reads every file. Exit code 1 if something
    differs.
    """
    from deploy.operate import restore as operate
    from deploy.operate import servers

    found = servers.find(os.environ)
    plan = _restore_plan(found, directory, name, to)
    checked = operate.verify(found, plan)
    click.echo(_table(checked))
    faults = sum(bool(each.fault) for each in checked)
    if faults:
        click.echo(f"{plan.manifest.name} is damaged: {faults} of {len(checked)} tables differ.")
        raise click.exceptions.Exit(1)
    click.echo(f"{plan.manifest.name} can be restored.")


@click.command("restore")
@_DIRECTORY
@_NAME
@_TO
@_TABLES_ONLY
@click.option("--replace", is_flag=True, help="Replace tables that have rows.")
@click.option("--new-kafka", is_flag=True, help="This Kafka replaces the one of the backup for good.")
@click.option("--yes", is_flag=True, help="Start without a question.")
@report_errors
def restore(  # noqa: PLR0913  # the options of the command
    directory: Path,
    name: str | None,
    to: str | None,
    *,
    tables_only: bool,
    replace: bool,
    new_kafka: bool,
    yes: bool,
) -> None:
    """Restore the tables and projects of a backup in DIRECTORY.

    Stop every `sequence worker sink` first; the local stack stops its own meanwhile. What came after the backup is read
    from Kafka again by the sink. Can be repeated after an interruption.
    """
    from deploy.operate import restore as operate
    from deploy.operate import servers

    found = servers.find(os.environ)
    plan = _restore_plan(found, directory, name, to, tables_only=tables_only, replace=replace, new_kafka=new_kafka)

    def confirm(rows: Mapping[str, int]) -> None:
        _confirm(plan, rows, yes=yes)

    restored = operate.restore(found, plan, confirm, _say)
    if restored.tables:
        click.echo(_table(restored.tables))
    if restored.projects:
        click.echo(f"{restored.projects} records of projects and tokens were written to projects.v1.")
    if restored.log is not None:
        click.echo(f"Rows of this Kafka are those of log {restored.log}.")
    click.echo(f"{plan.manifest.name} is restored.")
    click.echo("The stack starts the sink." if found.is_local else "Start `sequence worker sink`.")


def _restore_plan(  # noqa: PLR0913  # the options of the command
    found: Servers,
    directory: Path,
    name: str | None,
    to: str | None,
    *,
    tables_only: bool = False,
    replace: bool = False,
    new_kafka: bool = False,
) -> Plan:
    from deploy.errors import ArgumentError
    from deploy.operate import status_local
    from deploy.operate.backup_directory import Directory
    from deploy.operate.restore import Plan

    backups = Directory(directory)
    manifest = backups.choose(name)
    destination = _destination(directory, to)
    if destination.is_directory and manifest.destination is not None:
        raise ArgumentError(
            f"The rows of {manifest.name} are at {manifest.destination}. Pass it with its credentials: --to, or "
            "SEQUENCE_BACKUP_TO."
        )
    if manifest.destination is None:
        destination = _destination(directory, "")
    return Plan(
        backups, manifest, destination, tables_only, replace, new_kafka, status_local.directory_of(found, os.environ)
    )


def _destination(directory: Path, to: str | None) -> Destination:
    from deploy.errors import ArgumentError
    from deploy.operate import backup_statements
    from deploy.operate.backup_settings import BackupSettings
    from schemas.settings import load

    text = load(BackupSettings).to if to is None else to
    try:
        return backup_statements.parse(text) if text else backup_statements.in_directory(directory)
    except ValueError as error:
        raise ArgumentError(f"{error}. Choose another directory, or correct --to or SEQUENCE_BACKUP_TO.") from None


def _confirm(plan: Plan, rows: Mapping[str, int], *, yes: bool) -> None:
    """Say which rows are replaced, and end the command if they must stay."""
    from deploy.errors import OperateError

    listed = ", ".join(f"{count:,} of {table}" for table, count in rows.items())
    if not plan.replace:
        raise OperateError(
            f"The tables have rows: {listed}. Nothing was changed. Add --replace to replace them with those of "
            f"{plan.manifest.name}; the sink then fills in what Kafka still has."
        )
    click.echo(f"Rows to be replaced: {listed}.")
    if not yes and not (sys.stdin.isatty() and click.confirm(f"Replace them with {plan.manifest.name}?")):
        raise OperateError("Nothing was changed. Add --yes to replace the tables.")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _line(made: Manifest) -> str:
    from schemas.sizes import size

    projects = "" if made.projects is None else f", {made.projects} records of projects"
    return (
        f"{made.name}: {made.kind}, {made.rows:,} rows{projects}, {size(made.bytes)} written in {made.seconds:.1f} s."
    )


def _table(checked: Sequence[Checked]) -> str:
    from deploy import listing

    return listing.table(
        ["TABLE", "ROWS", "PARTS", "RESULT"],
        [[each.table, f"{each.rows:,}", str(each.parts), each.fault or "ok"] for each in checked],
    )


def _described(name: str, manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        empty = dict.fromkeys(("createdAt", "base", "rows", "bytes", "seconds", "destination", "version"))
        return {"name": name, "complete": False, **empty}
    return {
        "name": name,
        "complete": True,
        "createdAt": manifest.created_at,
        "base": manifest.base,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "seconds": manifest.seconds,
        "destination": manifest.destination,
        "version": manifest.version,
    }


def _size(described: Mapping[str, Any]) -> str:
    from schemas.sizes import size

    return size(described["bytes"]) if described["complete"] else "-"


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "NAME": lambda each: str(each["name"]),
    "STATE": lambda each: "complete" if each["complete"] else "incomplete",
    "BASE": lambda each: each["base"] or "-",
    "ROWS": lambda each: f"{each['rows']:,}" if each["complete"] else "-",
    "WRITTEN": _size,
    "SECONDS": lambda each: f"{each['seconds']:.1f}" if each["complete"] else "-",
}
