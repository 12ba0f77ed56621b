"""The `sequence` command. Each service starts alone from settings in the environment; `up` runs them all here.

Exit codes: 0 in order, 1 for what went wrong while running, 2 for settings and arguments that cannot be used.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from deploy.errors import DeployError
from gateway.errors import GatewayError
from processors.clickhouse.errors import ClickHouseError
from schemas.projects import Scope, Token
from schemas.settings import SettingsError, load

# Commands import what they run: `sequence --help` should not load Kafka's and ClickHouse's clients.
# ruff: noqa: PLC0415

P = ParamSpec("P")
T = TypeVar("T")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Lifetime(click.ParamType):
    """A number with a unit, such as `90d`, as seconds."""

    name = "number with s, m, h or d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)
        if match is None:
            self.fail(f"{value!r} is not a number followed by s, m, h or d, such as 90d", param, ctx)
        return int(match[1]) * _SECONDS[match[2]]


def reported(function: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors that a person can do something about into lines on standard error and an exit code."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except SettingsError as error:
            fault = click.ClickException(str(error))
            fault.exit_code = 2
            raise fault from error
        except (DeployError, GatewayError, ClickHouseError) as error:
            raise click.ClickException(str(error)) from error

    return wrapper


def _start_logging() -> None:
    from deploy.logging import LogSettings, configure

    configure(load(LogSettings))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sequence-events")
def main() -> None:
    """Sequence events: HTTP to Kafka to ClickHouse. Settings come from the environment, as SEQUENCE_*."""


@main.command()
@click.option("--parent", type=int, metavar="PID", help="End, too, when this process, which started it, ends.")
@reported
def up(parent: int | None) -> None:
    """Run everything on this machine: Kafka, ClickHouse, gateway, workers."""
    from deploy.local import stack

    _start_logging()
    stack.up(os.environ, parent)


@main.command()
@reported
def gateway() -> None:
    """Run a gateway."""
    from gateway import server
    from gateway.settings import GatewaySettings

    _start_logging()
    server.run(load(GatewaySettings))


@main.command()
@click.argument("name", type=click.Choice(["dedupe", "persons", "sink"]))
@reported
def worker(name: str) -> None:
    """Run a worker."""
    from processors.settings import WorkerSettings
    from processors.workers import run

    _start_logging()
    run(name, load(WorkerSettings))


@main.group()
def topics() -> None:
    """Kafka's topics."""


@topics.command("apply")
@reported
def topics_apply() -> None:
    """Make the topics that are missing; refuse those that are not as they should be."""
    from deploy.topics import apply
    from schemas.settings import KafkaSettings, TopicSettings

    changed = asyncio.run(apply(load(KafkaSettings), load(TopicSettings)))
    click.echo("\n".join(changed) or "All topics are as they should be.")


@main.group()
def tables() -> None:
    """ClickHouse's tables."""


@tables.command("migrate")
@reported
def tables_migrate() -> None:
    """Apply the numbered files that have not been applied yet, and make the analysts' login where one is asked for."""
    from processors.clickhouse.access import AnalystSettings, ensure
    from processors.clickhouse.migrate import migrate
    from schemas.settings import ClickHouseSettings

    settings, password = load(ClickHouseSettings), load(AnalystSettings).password
    applied = migrate(settings)
    if password:
        ensure(settings, password)
    click.echo("\n".join(applied) or "All tables are as they should be.")


@main.group()
def project() -> None:
    """Projects."""


@project.command("create")
@click.argument("project_id", metavar="ID")
@click.option("--name", default="", help="A name for people; the id when left out.")
@reported
def project_create(project_id: str, name: str) -> None:
    """Create project ID."""
    from gateway.projects.admin import create_project
    from schemas.settings import KafkaSettings

    asyncio.run(create_project(load(KafkaSettings), project_id, name or project_id))
    click.echo(f"Project {project_id} created.")


@project.command("list")
@reported
def project_list() -> None:
    """List the projects."""
    from gateway.projects.admin import list_projects
    from schemas.settings import KafkaSettings

    for found in asyncio.run(list_projects(load(KafkaSettings))):
        rate = "no limit" if found.items_per_second is None else f"{found.items_per_second} items a second"
        click.echo(f"{found.id}  {found.name}  {'disabled' if found.disabled else 'enabled'}  {rate}")


@project.command("update")
@click.argument("project_id", metavar="ID")
@click.option("--disable/--enable", default=None, help="Whether its tokens are refused.")
@click.option("--items-per-second", type=click.FloatRange(min=0), help="For each gateway; 0 takes the limit away.")
@click.option("--burst", type=click.IntRange(min=1), help="How many items it may send at once.")
@reported
def project_update(project_id: str, *, disable: bool | None, items_per_second: float | None, burst: int | None) -> None:
    """Change project ID; every gateway follows within a second."""
    from gateway.projects.admin import update_project
    from schemas.settings import KafkaSettings

    settings = load(KafkaSettings)
    asyncio.run(update_project(settings, project_id, disabled=disable, items_per_second=items_per_second, burst=burst))
    click.echo(f"Project {project_id} changed.")


@main.group()
def token() -> None:
    """Tokens, with which producers send to a project."""


@token.command("create")
@click.argument("project_id", metavar="PROJECT")
@click.option("--expires-in", type=Lifetime(), help="After this time it is refused, such as 90d.")
@click.option("--scope", type=click.Choice(["write", "read"]), default="write", help="To send items, or to look.")
@reported
def token_create(project_id: str, expires_in: int | None, scope: Scope) -> None:
    """Create a token for PROJECT and print it, this once."""
    from gateway.projects.admin import create_token
    from schemas.settings import KafkaSettings

    expires_at = None if expires_in is None else time.time_ns() // 1000 + expires_in * 1_000_000
    click.echo(asyncio.run(create_token(load(KafkaSettings), project_id, expires_at=expires_at, scope=scope)))


@token.command("rotate")
@click.argument("token_id", metavar="ID")
@click.option("--overlap", type=Lifetime(), default="1d", show_default=True, help="How long the old one goes on.")
@reported
def token_rotate(token_id: str, overlap: int) -> None:
    """Create a token in place of that with ID and print it, this once; the old one ends after the overlap."""
    from gateway.projects.admin import rotate_token
    from schemas.settings import KafkaSettings

    click.echo(asyncio.run(rotate_token(load(KafkaSettings), token_id, overlap_seconds=overlap)))


@token.command("list")
@click.argument("project_id", metavar="[PROJECT]", required=False)
@reported
def token_list(project_id: str | None) -> None:
    """List the tokens of PROJECT, or of all."""
    from gateway.projects.admin import list_uses
    from schemas.settings import KafkaSettings

    for found, day in asyncio.run(list_uses(load(KafkaSettings), project_id)):
        used = "never used" if day is None else f"last used {day}"
        click.echo(f"{found.id}  {found.project_id}  {found.hint}  {found.scope}  {_state(found)}  {used}")


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@reported
def token_revoke(token_id: str) -> None:
    """Revoke the token with ID, as `token list` shows it."""
    from gateway.projects.admin import revoke_token
    from schemas.settings import KafkaSettings

    asyncio.run(revoke_token(load(KafkaSettings), token_id))
    click.echo(f"Token {token_id} revoked.")


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return f"revoked {_minute(token.revoked_at)}"
    if token.expires_at is None:
        return "does not expire"
    expired = token.expires_at <= time.time_ns() // 1000
    return f"{'expired' if expired else 'expires'} {_minute(token.expires_at)}"


def _minute(micros: int) -> str:
    return f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%d %H:%M} UTC"


if __name__ == "__main__":
    main()
