"""`sequence project` and `sequence token`: who may send."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Sequence

import click

from deploy.durations import Duration
from deploy.error_messages import report_errors
from deploy.settings import load_kafka
from schemas.projects import Scope
from schemas.retention import CLASSES, Retention

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.group()
def project() -> None:
    """Manage projects, which own events."""


@project.command("create")
@click.argument("project_id", metavar="ID")
@click.option("--name", default="", help="Display name.  [default: ID]")
@report_errors
def project_create(project_id: str, name: str) -> None:
    """Create project ID: 1 to 64 letters, digits, `_` and `-`."""
    from gateway.projects.admin import create_project

    asyncio.run(create_project(load_kafka(os.environ), project_id, name or project_id))
    click.echo(f"Project {project_id} created.")


@project.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@report_errors
def project_list(*, as_json: bool) -> None:
    """List projects.

    \b
    Fields of --json: id, name, disabled, itemsPerSecond, burst, itemBytes,
    fieldRules, suppressedUsers, createdAt.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from gateway.projects.admin import list_projects

    projects = [listing.describe_project(found) for found in asyncio.run(list_projects(load_kafka(os.environ)))]
    empty = "No projects. Create one with `sequence project create ID`."
    listing.show(projects, listing.PROJECT_COLUMNS, as_json=as_json, empty=empty)


@project.command("update")
@click.argument("project_id", metavar="ID")
@click.option("--disable/--enable", default=None, help="Reject or accept the project's tokens.")
@click.option("--items-per-second", type=click.FloatRange(min=0), help="Rate limit of each gateway; 0 removes it.")
@click.option("--burst", type=click.IntRange(min=1), help="Items accepted at once above the rate.")
@click.option("--item-bytes", type=click.IntRange(min=0), help="Largest item; 0 leaves the limit to the gateway.")
@click.option(
    "--retention",
    type=click.Choice([*(f"{days}d" for days in CLASSES), "unlimited"]),
    help="How long rows are kept after receipt.",
)
@click.option(
    "--retention-event",
    "events",
    multiple=True,
    metavar="EVENT=N",
    help="Keep EVENT for fewer days, such as `Page Viewed=30d`; `=project` removes that.",
)
@report_errors
def project_update(  # noqa: PLR0913  # the options of the command
    project_id: str,
    *,
    disable: bool | None,
    items_per_second: float | None,
    burst: int | None,
    item_bytes: int | None,
    retention: str | None,
    events: Sequence[str],
) -> None:
    """Change project ID. Gateways apply the change within a second.

    What --retention shortens is removed within an hour or two, and cannot be brought back.
    """
    from gateway.projects.admin import update_project

    given = (disable, items_per_second, burst, item_bytes, retention)
    if not events and all(option is None for option in given):
        raise click.UsageError(
            "Nothing to change. Use --disable, --enable, --items-per-second, --burst, --item-bytes, --retention or "
            "--retention-event."
        )
    asyncio.run(
        update_project(
            load_kafka(os.environ),
            project_id,
            disabled=disable,
            items_per_second=items_per_second,
            burst=burst,
            item_bytes=item_bytes,
            retention=None if retention is None else Retention(_days(retention)),
            event_retention=dict(map(_event_days, events)),
        )
    )
    click.echo(f"Project {project_id} updated.")


def _days(text: str) -> int | None:
    return None if text == "unlimited" else int(text.removesuffix("d"))


def _event_days(text: str) -> tuple[str, int | None]:
    event, _, days = text.rpartition("=")
    if event and days == "project":
        return event, None
    if not event or not days.endswith("d") or not days[:-1].isdecimal():
        raise click.UsageError(f"--retention-event {text}: write EVENT=DAYS, such as `Page Viewed=30d`.")
    return event, int(days[:-1])


@project.command("show")
@click.argument("project_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@report_errors
def project_show(project_id: str, *, as_json: bool) -> None:
    """Show the settings, limits, retention and field rules of project ID.

    \b
    Fields of --json: id, name, disabled, itemsPerSecond, burst, itemBytes,
    fieldRules, suppressedUsers, createdAt.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from gateway.projects.admin import read_project

    found = asyncio.run(read_project(load_kafka(os.environ), project_id))
    click.echo(json.dumps(listing.describe_project(found), indent=2) if as_json else listing.project_page(found))


@project.command("rules")
@click.argument("project_id", metavar="ID")
@click.option("--drop", "dropped", multiple=True, metavar="PATH", help="Do not store the value of PATH.")
@click.option("--hash", "hashed", multiple=True, metavar="PATH", help="Store an HMAC of the value of PATH.")
@click.option(
    "--truncate",
    "truncated",
    multiple=True,
    metavar="PATH=N",
    help="Store the first N characters of the value of PATH.",
)
@click.option("--remove", "removed", multiple=True, metavar="PATH", help="Remove the rule for PATH.")
@report_errors
def project_rules(
    project_id: str,
    *,
    dropped: Sequence[str],
    hashed: Sequence[str],
    truncated: Sequence[str],
    removed: Sequence[str],
) -> None:
    """Change what is stored of private values of project ID.

    PATH names a value, such as `properties.email`, `traits.address.street` or
    `context.ip`. Gateways apply a rule within a second, to later items only.
    """
    from gateway.projects.admin import change_field_rules
    from schemas.field_rules import FieldRule

    rules = [FieldRule(path, "drop") for path in dropped] + [FieldRule(path, "hash") for path in hashed]
    for text in truncated:
        path, _, length = text.rpartition("=")
        if not path or not length.isdecimal():
            raise click.UsageError(f"--truncate {text}: write PATH=N, such as `context.ip=7`.")
        rules.append(FieldRule(path, "truncate", int(length)))
    if not rules and not removed:
        raise click.UsageError(
            f"Nothing to change. Use --drop, --hash, --truncate or --remove; `sequence project show {project_id}` "
            "lists the rules."
        )
    asyncio.run(change_field_rules(load_kafka(os.environ), project_id, rules, removed))
    click.echo(f"Project {project_id} updated.")


@project.command("hash")
@click.argument("project_id", metavar="ID")
@click.argument("values", metavar="VALUE...", nargs=-1, required=True)
@report_errors
def project_hash(project_id: str, values: Sequence[str]) -> None:
    """Print the hash that is stored in place of each VALUE.

    Find the value with it in SQL.
    """
    from gateway.projects.admin import read_project
    from schemas.field_rules import hashed

    key = asyncio.run(read_project(load_kafka(os.environ), project_id)).hash_key
    if not key:
        raise click.ClickException(f"Project {project_id} has never had a rule that hashes.")
    for value in values:
        click.echo(hashed(key, value))


@click.group()
def token() -> None:
    """Manage tokens, which send events or open the console."""


@token.command("create")
@click.argument("project_id", metavar="[PROJECT]", required=False)
@click.option("--expires-in", type=Duration(), help="Expire the token after this duration, for example `90d`.")
@click.option(
    "--scope",
    type=click.Choice(["write", "read", "operate"]),
    default="write",
    show_default=True,
    help="Permission to grant.",
)
@report_errors
def token_create(project_id: str | None, expires_in: int | None, scope: Scope) -> None:
    """Create a token for PROJECT and print it. The token is shown only once.

    \b
    write    send events to PROJECT; the only scope that the gateway accepts
    read     read PROJECT in the console
    operate  read all projects and the state of the pipeline in the console;
             without PROJECT
    """  # noqa: D301  # \b keeps click from wrapping the list
    from gateway.projects.admin import create_token

    if scope == "operate" and project_id:
        raise click.UsageError(
            f"A token of the scope operate is for all projects. Leave out {project_id}, or use --scope read."
        )
    if scope != "operate" and not project_id:
        raise click.UsageError(f"Missing argument PROJECT: a {scope} token belongs to a project.")
    expires_at = None if expires_in is None else time.time_ns() // 1000 + expires_in * 1_000_000
    created = create_token(load_kafka(os.environ), project_id or "", expires_at=expires_at, scope=scope)
    click.echo(asyncio.run(created))


@token.command("rotate")
@click.argument("token_id", metavar="ID")
@click.option("--overlap", type=Duration(), default="1d", show_default=True, help="How long the old token stays valid.")
@report_errors
def token_rotate(token_id: str, overlap: int) -> None:
    """Replace token ID.

    Prints the new token once; the old one stays valid for --overlap.
    """
    from gateway.projects.admin import rotate_token

    click.echo(asyncio.run(rotate_token(load_kafka(os.environ), token_id, overlap_seconds=overlap)))


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

    uses = asyncio.run(list_tokens_with_last_use(load_kafka(os.environ), project_id))
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

    asyncio.run(revoke_token(load_kafka(os.environ), token_id))
    click.echo(f"Token {token_id} revoked.")
