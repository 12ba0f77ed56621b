"""The `sequence` command. Each service runs on its own from settings in the environment; `up` runs all of them here.

Exit codes:
   0  success, or a graceful shutdown
   1  the command failed; the message says why
   2  a setting or an argument is invalid
  70  a worker met an error, or Kafka did not answer at its start; a restart recovers
  78  a worker cannot continue until a person acts
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import click

from deploy.durations import Duration
from deploy.error_messages import report_errors
from deploy.known_settings import warn_of_unknown_variables
from deploy.logging import LogSettings, configure, silence_clients
from deploy.open_files import open_standard_streams, raise_limit
from schemas.projects import Scope
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, load, load_both

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_SERVICES = {"up", "gateway", "worker"}
_EPILOG = "\b\n" + (__doc__ or "").partition("\n\n")[2]


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(package_name="sequence-events")
@click.pass_context
def main(context: click.Context) -> None:
    """Run and manage Sequence events, an event pipeline from HTTP through Kafka to ClickHouse.

    Settings are environment variables named SEQUENCE_*. They are validated at startup, and all errors are reported
    together.
    """
    open_standard_streams()
    raise_limit()
    silence_clients()  # A service's `configure` sets their levels again.
    if context.invoked_subcommand not in _SERVICES:
        warn_of_unknown_variables()


@main.command()
@click.option("--parent", type=int, metavar="PID", hidden=True, help="Stop when this process, the parent, ends.")
@report_errors
def up(parent: int | None) -> None:
    """Run the whole pipeline on this machine.

    Starts Kafka, ClickHouse, gateways and workers. Prints a token and commands to send and query events. Ctrl-C stops
    everything; the next start keeps the data. Needs the `local` extra.
    """
    from deploy.local import extra

    extra.require()
    from deploy.local import stack
    from deploy.local.services import StackSettings

    logs, _ = load_both(LogSettings, StackSettings)
    configure(logs)
    warn_of_unknown_variables()
    stack.up(os.environ, parent)


@main.command()
@report_errors
def gateway() -> None:
    """Run a gateway, which writes events to Kafka."""
    from gateway import server
    from gateway.settings import GatewaySettings

    logs, settings = load_both(LogSettings, GatewaySettings)
    configure(logs)
    warn_of_unknown_variables()
    server.run(settings)


@main.command()
@click.argument("kind", type=click.Choice(["dedupe", "persons", "sink"]))
@report_errors
def worker(kind: str) -> None:
    """Run a worker.

    \b
    dedupe   removes duplicates from items and writes events
    persons  merges identify calls into one record per user
    sink     loads events and persons into ClickHouse
    """  # noqa: D301  # \b keeps click from wrapping the list
    from processors.settings import WorkerSettings
    from processors.workers import run

    logs, settings = load_both(LogSettings, WorkerSettings)
    configure(logs)
    warn_of_unknown_variables()
    run(kind, settings)


@main.command("sql")
@click.argument("statement", required=False)
@click.option("--write", is_flag=True, help="Run the statement as the user who may write. Local stack only.")
@click.option(
    "--format",
    "output_format",
    metavar="NAME",
    help="Format of the answer, for example JSONEachRow.  [default: PrettyCompact on a terminal, else TabSeparated]",
)
@report_errors
def sql_command(statement: str | None, output_format: str | None, *, write: bool) -> None:
    """Run STATEMENT on ClickHouse as `analyst`, who can only read.

    Without STATEMENT, or if it is `-`, the statement is read from standard input. It runs on the server that
    SEQUENCE_CLICKHOUSE_URL names if that is set, and on the local stack otherwise.
    """
    from deploy import sql

    target = sql.choose_target(os.environ, write=write)
    output_format = output_format or ("PrettyCompact" if sys.stdout.isatty() else "TabSeparated")
    try:
        sql.run(target, sql.read_statement(statement), output_format, click.get_binary_stream("stdout"))
    except BrokenPipeError:
        sql.discard_output()


@main.group()
def topics() -> None:
    """Manage Kafka topics."""


@topics.command("apply")
@report_errors
def topics_apply() -> None:
    """Create missing topics and update configuration.

    Fails if the partition count, timestamp type or cleanup policy of an existing topic differs, or if its retention is
    shorter and cannot be changed. Prints the name of each topic created or updated.
    """
    from deploy.topics import apply

    changed = asyncio.run(apply(*load_both(KafkaSettings, TopicSettings)))
    click.echo("\n".join(changed) or "Topics are up to date.")


@main.group()
def tables() -> None:
    """Manage ClickHouse tables."""


@tables.command("migrate")
@report_errors
def tables_migrate() -> None:
    """Apply pending migrations to ClickHouse.

    Creates or updates the read-only user `analyst` if SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD is set. Prints the name of
    each migration applied.
    """
    from processors.clickhouse.access import ensure
    from processors.clickhouse.migrate import migrate
    from processors.settings import AnalystSettings

    settings, analyst = load_both(ClickHouseSettings, AnalystSettings)
    applied = migrate(settings)
    if analyst.password:
        ensure(settings, analyst.password)
    click.echo("\n".join(applied) or "No migrations to apply.")


@main.group()
def project() -> None:
    """Manage projects, which own events and tokens."""


@project.command("create")
@click.argument("project_id", metavar="ID")
@click.option("--name", default="", help="Display name.  [default: ID]")
@report_errors
def project_create(project_id: str, name: str) -> None:
    """Create project ID: 1 to 64 letters, digits, `_` and `-`."""
    from gateway.projects.admin import create_project

    asyncio.run(create_project(load(KafkaSettings), project_id, name or project_id))
    click.echo(f"Project {project_id} created.")


@project.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@report_errors
def project_list(*, as_json: bool) -> None:
    """List projects.

    \b
    Fields of --json: id, name, disabled, itemsPerSecond, burst, createdAt.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from gateway.projects.admin import list_projects

    projects = [listing.describe_project(found) for found in asyncio.run(list_projects(load(KafkaSettings)))]
    empty = "No projects. Create one with `sequence project create ID`."
    listing.show(projects, listing.PROJECT_COLUMNS, as_json=as_json, empty=empty)


@project.command("update")
@click.argument("project_id", metavar="ID")
@click.option("--disable/--enable", default=None, help="Reject or accept the project's tokens.")
@click.option("--items-per-second", type=click.FloatRange(min=0), help="Rate limit of each gateway; 0 removes it.")
@click.option("--burst", type=click.IntRange(min=1), help="Items accepted at once above the rate.")
@report_errors
def project_update(project_id: str, *, disable: bool | None, items_per_second: float | None, burst: int | None) -> None:
    """Change project ID. Gateways apply the change within a second."""
    from gateway.projects.admin import update_project

    if disable is items_per_second is burst is None:
        raise click.UsageError("Nothing to change. Use --disable, --enable, --items-per-second or --burst.")
    settings = load(KafkaSettings)
    asyncio.run(update_project(settings, project_id, disabled=disable, items_per_second=items_per_second, burst=burst))
    click.echo(f"Project {project_id} updated.")


@main.group()
def token() -> None:
    """Manage tokens, the write keys of producers."""


@token.command("create")
@click.argument("project_id", metavar="PROJECT")
@click.option("--expires-in", type=Duration(), help="Expire the token after this duration, for example `90d`.")
@click.option(
    "--scope",
    type=click.Choice(["write", "read"]),
    default="write",
    show_default=True,
    help="Permission to grant. The gateway accepts write tokens only.",
)
@report_errors
def token_create(project_id: str, expires_in: int | None, scope: Scope) -> None:
    """Create a token for PROJECT and print it. The token is shown only once."""
    from gateway.projects.admin import create_token

    expires_at = None if expires_in is None else time.time_ns() // 1000 + expires_in * 1_000_000
    click.echo(asyncio.run(create_token(load(KafkaSettings), project_id, expires_at=expires_at, scope=scope)))


@token.command("rotate")
@click.argument("token_id", metavar="ID")
@click.option("--overlap", type=Duration(), default="1d", show_default=True, help="How long the old token stays valid.")
@report_errors
def token_rotate(token_id: str, overlap: int) -> None:
    """Replace token ID.

    Prints the new token once; the old one stays valid for --overlap.
    """
    from gateway.projects.admin import rotate_token

    click.echo(asyncio.run(rotate_token(load(KafkaSettings), token_id, overlap_seconds=overlap)))


@token.command("list")
@click.argument("project_id", metavar="[PROJECT]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@report_errors
def token_list(project_id: str | None, *, as_json: bool) -> None:
    """List the tokens of PROJECT, by default of all projects.

    \b
    Fields of --json: id, projectId, hint, scope, status, createdAt, expiresAt,
    revokedAt, lastUsedOn.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from gateway.projects.admin import list_tokens_with_last_use

    uses = asyncio.run(list_tokens_with_last_use(load(KafkaSettings), project_id))
    now = time.time_ns() // 1000
    tokens = [listing.describe_token(found, last_used, now) for found, last_used in uses]
    empty = "No tokens. Create one with `sequence token create PROJECT`."
    listing.show(tokens, listing.TOKEN_COLUMNS, as_json=as_json, empty=empty)


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@report_errors
def token_revoke(token_id: str) -> None:
    """Revoke the token with ID, as shown by `token list`. Gateways reject it within a second."""
    from gateway.projects.admin import revoke_token

    asyncio.run(revoke_token(load(KafkaSettings), token_id))
    click.echo(f"Token {token_id} revoked.")


if __name__ == "__main__":
    main()
