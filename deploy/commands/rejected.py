"""`sequence rejected`: what was rejected, why, and how it is sent again."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from deploy.durations import Since
from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.rejected import Selection

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_SHOWN_CHARACTERS = 60

_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "ITEMS": lambda group: str(group["items"]),
    "PROJECT": lambda group: str(group["projectId"]),
    "STAGE": lambda group: "sink, " + group["table"] if group["table"] else str(group["stage"]),
    "CODE": lambda group: str(group["code"]),
    "FIELD": lambda group: group["field"] or "-",
    "REPLAYED": lambda group: str(group["replayed"]),
    "LAST": lambda group: _time(group["lastAt"])[:16],
    "EXAMPLE": lambda group: _cut(group["example"]["value"] or group["example"]["content"], _SHOWN_CHARACTERS),
}


@click.group()
def rejected() -> None:
    """Count, show and replay rejected items."""


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select items; *command* gets what they select as `selection`."""

    @wraps(command)
    def selecting(
        *, where: str, project_id: str, code: str, since: datetime | None, not_replayed: bool, **others: object
    ) -> None:
        from deploy.operate.rejected import Selection

        command(Selection(where, project_id, code, since, not_replayed), **others)

    options = (
        click.option("--where", default="", metavar="SQL", help="Condition over the columns of the table `rejected`."),
        click.option("--project", "project_id", default="", metavar="ID", help="Project.  [default: all]"),
        click.option("--code", default="", metavar="CODE", help="Code of the rejection.  [default: all]"),
        click.option(
            "--since", type=Since(), metavar="TIME", help="Rejected since, for example `24h` or `2026-01-31T12:00:00Z`."
        ),
        click.option("--not-replayed", is_flag=True, help="Without items that `sequence rejected replay` has sent."),
    )
    for option in reversed(options):
        selecting = option(selecting)
    return selecting


@rejected.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Groups to show.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@_selecting
@report_errors
def rejected_list(selection: Selection, limit: int, *, as_json: bool) -> None:
    """Count rejected items by project, stage, code and field.

    REPLAYED counts those of them that `sequence rejected replay` has sent again. Shows the newest example of each
    group: the value of the field, or the beginning of the content. Below the table are the commands that show and
    replay the items of the first line.

    \b
    Fields of --json: projectId, stage, table, code, field, items, replayed, firstAt,
    lastAt, example (message, value, event, messageId, content), show, replay.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy import listing
    from deploy.operate import rejected as operate
    from deploy.operate import servers

    with servers.reading(os.environ) as clickhouse:
        groups = operate.groups(clickhouse, selection, limit)
    listing.show(groups, _COLUMNS, as_json=as_json, empty=_nothing(selection))
    if groups and not as_json:
        click.echo(f"\nShow the items of the first line:\n  {groups[0]['show']}")
        click.echo(f"Try a jq program on them, and send them without --dry-run:\n  {groups[0]['replay']}")


@rejected.command("show")
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Items to show.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@_selecting
@report_errors
def rejected_show(selection: Selection, limit: int, *, as_json: bool) -> None:
    """Show rejected items with their content, the newest first.

    \b
    Fields of --json: projectId, stage, table, code, field, value, message, messageId,
    type, event, userId, receivedAt, rejectedAt, replayedAt, requestId, source (topic, partition,
    offset), partition, offset, isBase64, isTruncated, content.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy.operate import rejected as operate
    from deploy.operate import servers

    with servers.reading(os.environ) as clickhouse:
        items = [operate.describe(row) for row in operate.items(clickhouse, selection, limit)]
        total = operate.count(clickhouse, selection) if len(items) == limit else len(items)
    if as_json:
        click.echo(json.dumps(items, indent=2, ensure_ascii=False))
        return
    click.echo("\n\n".join("\n".join(_lines(item)) for item in items) or _nothing(selection))
    if total > len(items):
        click.echo(f"\nOlder items: {total - len(items)}. Add `--limit {total}` to show them.")


@rejected.command("replay")
@click.option(
    "--set", "programs", multiple=True, metavar="JQ", help="jq program that rewrites an item. Can be repeated."
)
@click.option("--dry-run", is_flag=True, help="Show how the first items change, and send nothing.")
@click.option("--continue", "goes_on", is_flag=True, help="Go on after an item that is rejected again.")
@click.option(
    "--limit", type=click.IntRange(1), default=1_000, show_default=True, help="Items to replay, the oldest first."
)
@click.option("--gateway", metavar="URL", help="Address of a gateway.  [default: that of the local stack]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@_selecting
@report_errors
def rejected_replay(  # noqa: PLR0913  # click passes each option
    selection: Selection,
    programs: tuple[str, ...],
    limit: int,
    gateway: str | None,
    *,
    dry_run: bool,
    goes_on: bool,
    as_json: bool,
) -> None:
    """Send rejected items again.

    Sends through a gateway with SEQUENCE_REPLAY_TOKEN, which gives the project; on the local stack the token of the
    project `dev` is the default. An item keeps its messageId and its time, so repeating a replay changes nothing. Stops
    at the first item that would be rejected again. Exits with 1 if an item is rejected again.

    \b
    Fields of --json: id, projectId, status, read, accepted, leftOut, rejected and
    unsendable (reason, items, first).
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy.commands import replaying
    from deploy.operate.replay_program import Program

    program = Program(programs)
    if dry_run:
        done = replaying.try_out(selection, program, limit, goes_on=goes_on, shows=not as_json)
    else:
        done = replaying.carry_out(selection, program, limit, gateway, goes_on=goes_on)
    if done is None:
        click.echo("{}" if as_json else _nothing(selection))
        return
    click.echo(json.dumps(done.describe(), indent=2) if as_json else "\n".join(done.lines()))
    if done.outcome.rejected:
        raise click.exceptions.Exit(1)


def _nothing(selection: Selection) -> str:
    given = selection.arguments
    if selection.not_replayed:
        return f"No rejected item is left with {given}."
    return f"Nothing was rejected with {given}." if given else "Nothing was rejected."


def _lines(item: Mapping[str, Any]) -> Iterator[str]:
    field = f", field {item['field']}" if item["field"] else ""
    yield f"{_time(item['rejectedAt'])} {item['stage']}: {item['code']}{field}"
    yield textwrap.indent(item["message"].strip(), "  ")
    source = item["source"]
    for name, value in (
        ("Project", item["projectId"]),
        ("Id", item["messageId"]),
        ("Event", item["event"]),
        ("User", item["userId"]),
        ("Table", item["table"]),
        ("Value", item["value"]),
        ("Request", item["requestId"]),
        ("Replayed", item["replayedAt"] and _time(item["replayedAt"])),
        ("Source", f"{source['topic']}, partition {source['partition']}, offset {source['offset']}"),
        ("Content", item["content"] + (" …" if item["isTruncated"] else "")),
    ):
        if value:
            yield f"  {name:<8} {value}"


def _time(text: str) -> str:
    return f"{text.removesuffix('Z')[:23].replace('T', ' ')} UTC"


def _cut(text: str, characters: int) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= characters else f"{one_line[: characters - 1]}…"
