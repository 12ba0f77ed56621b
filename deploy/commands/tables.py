"""`sequence tables`: ClickHouse tables."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from deploy.error_messages import report_errors
from schemas.settings import ClickHouseSettings, load_both

if TYPE_CHECKING:
    from deploy.operate.rebuild import Plan
    from deploy.operate.servers import Servers

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_PROGRESS_SECONDS = 2.0


@click.group()
def tables() -> None:
    """Manage ClickHouse tables."""


@tables.command("migrate")
@click.option("--dry-run", is_flag=True, help="Print what would be applied, and change nothing.")
@report_errors
def tables_migrate(*, dry_run: bool) -> None:
    """Apply pending migrations to ClickHouse.

    Prints beforehand which migrations run, and time and disk space of those that copy rows; then their progress.

    Creates the SQL functions num, str, bool and at if they are missing, and fails if the server has others of these
    names. Creates or updates the read-only user `analyst` if SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD is set. Prints the
    name of each migration applied. Fails if the tables were created by an older version; see `sequence tables rebuild`.
    """
    from processors.clickhouse.access import ensure
    from processors.clickhouse.errors import FunctionError
    from processors.clickhouse.migrate import migrate, plan
    from processors.settings import AnalystSettings

    settings, analyst = load_both(ClickHouseSettings, AnalystSettings)
    if dry_run:
        click.echo("\n".join(plan(settings).lines()) or "No migrations to apply.")
        return
    try:
        with _unwound_at_sigterm():
            applied = migrate(settings, say=_say)
    except FunctionError:
        # The tables are migrated, so a changed password takes effect all the same.
        if analyst.password:
            ensure(settings, analyst.password)
        raise
    if analyst.password:
        ensure(settings, analyst.password)
    click.echo("\n".join(applied) or "No migrations to apply.")


@tables.command("rebuild")
@click.option("--yes", is_flag=True, help="Start without a question.")
@click.option(
    "--keep-old-only", is_flag=True, help="Continue although some rows are in the old tables only, and stay there."
)
@click.option("--no-wait", is_flag=True, help="Do not wait until the new tables are filled.")
@report_errors
def tables_rebuild(*, yes: bool, keep_old_only: bool, no_wait: bool) -> None:
    """Replace tables of an older version.

    Renames each table to NAME_before_rebuild, creates it anew, and lets the sink fill it from the topics. No row is
    dropped. Stop every `sequence worker sink` first; the local stack waits with its own. Shows the progress until the
    tables have all that the topics had at the beginning; Ctrl-C ends the display alone. Can be repeated.
    """
    from deploy.operate import rebuild, servers
    from processors.clickhouse import migrate

    found = servers.find(os.environ)
    with found.named():
        plan = rebuild.make_plan(found)
        is_needed = bool(plan.renames or migrate.pending(found.clickhouse))
    if is_needed:
        _confirm(plan, yes=yes, keep_old_only=keep_old_only)
        rebuild.carry_out(found, plan, _say)
        click.echo("The new tables are created.")
        click.echo("The stack starts the sink." if found.is_local else "Start `sequence worker sink`.")
    else:
        click.echo("The tables are those of this version.")
    if not no_wait:
        _wait(found)


@contextmanager
def _unwound_at_sigterm() -> Iterator[None]:
    """End the block at SIGTERM as at Ctrl-C: a table that is being copied takes rows again."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _confirm(plan: Plan, *, yes: bool, keep_old_only: bool) -> None:
    """Say what happens, and end the command if it must not happen."""
    from deploy.errors import OperateError
    from deploy.operate.rebuild import SUFFIX

    for name in plan.renames:
        click.echo(f"{name} becomes {name}{SUFFIX}.")
    if plan.kept:
        click.echo(
            "Rows were deleted after `sequence positions keep`. What events.v1 still has of them is written again: "
            "delete it again."
        )
    for view in plan.others:
        click.echo(f"The view {view} reads an old table. Create it anew when the tables are rebuilt.")
    for table, rows in plan.only_old.items():
        click.echo(f"{rows} rows of {table} are older than events.v1 reaches, and will be in {table}{SUFFIX} only.")
    if plan.only_old and not keep_old_only:
        raise OperateError(
            "Nothing was changed, because rows would be missing in the new tables. Add --keep-old-only to continue: "
            "they stay in the old tables, from which they can be read or copied."
        )
    if not yes and not (sys.stdin.isatty() and click.confirm("Rebuild the tables?")):
        raise OperateError("Nothing was changed. Add --yes to rebuild the tables.")


def _wait(found: Servers) -> None:
    """Show the progress until the sink has committed what the topics have now; exit with 1 if Ctrl-C comes first."""
    from deploy.operate import rebuild
    from deploy.operate.progress import Progress

    progress = Progress(rebuild.sink_group(found))
    try:
        while True:
            lines, is_complete = progress.update(rebuild.sink_group(found), rebuild.count_rows(found), time.monotonic())
            for line in lines:
                click.echo(line)
            if is_complete:
                click.echo("The tables have all that the topics had.")
                return
            time.sleep(_PROGRESS_SECONDS)
    except KeyboardInterrupt:
        click.echo("The sink continues. `sequence tables rebuild` shows the progress again.")
        raise click.exceptions.Exit(1) from None
