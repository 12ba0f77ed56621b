"""`sequence erase`: forgets users, and says how far that is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from deploy.durations import Since
from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.erase import Request

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "ID": lambda erasure: str(erasure["id"]),
    "PROJECT": lambda erasure: str(erasure["projectId"]),
    "REQUESTED": lambda erasure: _minute(erasure["requestedAt"]),
    "USERS": lambda erasure: f"{erasure['users']:,}",
    "STATUS": lambda erasure: str(erasure["status"]),
    "WAITS FOR": lambda erasure: erasure["waitsFor"] or "-",
}
_TABLES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "IN": lambda found: str(found["in"]),
    "FOUND": lambda found: f"{found['found']:,}",
}


@click.group("erase", invoke_without_command=True)
@click.option("--project", "project_id", metavar="ID", help="Project of the users.")
@click.option("--user", "users", multiple=True, metavar="ID", help="User to forget, repeatable.")
@click.option("--users-from", type=click.File("r", encoding="utf-8"), metavar="FILE", help="File with an ID a line.")
@click.option("--from", "since", type=Since(), metavar="TIME", help="Only what happened from then on.")
@click.option("--until", type=Since(), metavar="TIME", help="Only what happened before.")
@click.option("--suppress", is_flag=True, help="Reject the items of the users from now on.")
@click.option(
    "--backups",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Directory of backups to name in the proof, repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Count what the erasure would remove, and change nothing.")
@click.option("--no-topics", is_flag=True, help="With --dry-run, do not read the topics.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.option("--yes", is_flag=True, help="Erase without a question.")
@click.pass_context
@report_errors
def erase(  # noqa: PLR0913, PLR0917  # an argument for each option
    context: click.Context,
    project_id: str | None,
    users: Sequence[str],
    users_from: IO[str] | None,
    since: datetime | None,
    until: datetime | None,
    backups: Sequence[Path],
    *,
    suppress: bool,
    dry_run: bool,
    no_topics: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Erase users: rows, persons and rejected items.

    Everything that has arrived is erased, or what happened between --from and --until. Items that arrive later are
    stored, unless --suppress rejects them. The sink removes the rows; `sequence erase status` says how far it is.

    \b
    Fields of --json: id, users, finished; with --dry-run: in, found.
    """  # noqa: D301  # \b keeps click from wrapping the list
    if context.invoked_subcommand is not None:
        return
    from deploy.operate import erase as operate

    if project_id is None:
        raise click.UsageError("Missing option --project.")
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--from must be before --until.")
    of_file = [line.rstrip("\r\n") for line in users_from or ()]
    chosen = operate.checked_users([*users, *(user for user in of_file if user)])
    request = operate.Request(project_id, chosen, since, until, suppress, tuple(backups))
    if dry_run:
        _preview(request, with_topics=not no_topics, as_json=as_json)
    else:
        _erase(request, as_json=as_json, yes=yes)


def _erase(request: Request, *, as_json: bool, yes: bool) -> None:
    from deploy.errors import OperateError
    from deploy.operate import erase as operate
    from deploy.operate import servers

    count = f"{len(request.users):,} {'users' if len(request.users) != 1 else 'user'} of project {request.project_id}"
    what = "what happened in the range" if request.since or request.until else "everything that has arrived"
    if not yes and not (sys.stdin.isatty() and click.confirm(f"Erase {what} of {count}?")):
        raise OperateError("Nothing was changed. Add --yes to erase, or --dry-run to count.")
    requested = operate.erase(servers.find(os.environ), request)
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in requested], indent=2))
        return
    for each in requested:
        for finished in each.finished:
            click.echo(f"Erasure {finished}, which was interrupted, is requested as well.")
        click.echo(f"Erasure {each.id} of {count} is requested. `sequence erase status {each.id}` says how far it is.")


def _as_json(requested: Any) -> dict[str, Any]:
    return {"id": requested.id, "users": requested.users, "finished": list(requested.finished)}


def _preview(request: Request, *, with_topics: bool, as_json: bool) -> None:
    from deploy import listing
    from deploy.operate import erase_preview, servers

    found = erase_preview.preview(servers.find(os.environ), request, with_topics=with_topics)
    listing.show(found.counts, _TABLES, as_json=as_json, empty="Nothing was found.")
    if not as_json:
        for line in found.notes:
            click.echo(line)


@erase.command("status")
@click.argument("erasure_id", metavar="[ID]", default="")
@click.option("--project", "project_id", default="", metavar="ID", help="Project.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@report_errors
def erase_status(erasure_id: str, project_id: str, *, as_json: bool) -> None:
    """Show how far erasures are, with the proof of erasure ID.

    \b
    removing   queries may still see rows
    invisible  no query sees a row; files still have them
    proven     no file of ClickHouse and no record of persons.v1 has them

    \b
    Fields of --json: id, projectId, users, status, waitsFor, requestedAt, from, until,
    invisibleAt, provenAt, topicsForgetAt, rows (by table), backups (name, takenAt).
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate import erase_status as operate
    from deploy.operate import servers

    with servers.find(os.environ).tables() as clickhouse:
        found = operate.listed(clickhouse, project_id, erasure_id)
    if as_json or not erasure_id:
        listing.show(found, _COLUMNS, as_json=as_json, empty="No erasures.")
    else:
        click.echo("\n".join(f"{heading:<15}{text}" for heading, text in _page(found[0])))


def _page(erasure: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = ", ".join(f"{table} {count:,}" for table, count in sorted(erasure["rows"].items())) or "none"
    backups = [f"{each['name']} of {_minute(each['takenAt'])}" for each in erasure["backups"]] or ["none known"]
    return [
        ("Erasure", str(erasure["id"])),
        ("Project", str(erasure["projectId"])),
        ("Users", f"{erasure['users']:,}"),
        ("Requested", _minute(erasure["requestedAt"])),
        ("Of what", _range(erasure["from"], erasure["until"])),
        ("Status", str(erasure["status"])),
        ("Waits for", erasure["waitsFor"] or "nothing"),
        ("Rows removed", rows),
        ("Invisible", _minute(erasure["invisibleAt"])),
        ("Proven", _minute(erasure["provenAt"])),
        ("Topics forget", _minute(erasure["topicsForgetAt"])),
        ("Backups", backups[0]),
        *(("", each) for each in backups[1:]),
    ]


def _range(since: str | None, until: str | None) -> str:
    if since is None and until is None:
        return "everything"
    return " ".join([*([f"from {since}"] if since else []), *([f"before {until}"] if until else [])])


@erase.command("allow")
@click.option("--project", "project_id", required=True, metavar="ID", help="Project of the users.")
@click.option("--user", "users", required=True, multiple=True, metavar="ID", help="User to allow, repeatable.")
@report_errors
def erase_allow(project_id: str, users: Sequence[str]) -> None:
    """Accept items of suppressed users again. Gateways apply it within a second."""
    from deploy.operate import erase as operate
    from deploy.operate import servers

    count = operate.allow(servers.find(os.environ), project_id, operate.checked_users(users))
    click.echo(f"{count} of {len(users)} were suppressed. Their items are accepted again.")


def _minute(time: str | None) -> str:
    return f"{time[:16].replace('T', ' ')} UTC" if time else "not yet"
