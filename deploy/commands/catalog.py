"""`sequence catalog`: which events and traits exist, with their paths and types."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.catalog_result import Event

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_CONFLICTS_SHOWN = 3
_EVENTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "PROJECT": lambda event: str(event["projectId"]),
    "EVENT": lambda event: _printable(event["event"]) if event["kind"] == "event" else "(traits)",
    "COUNT": lambda event: f"{event['count']:,}",
    "PATHS": lambda event: f"{event['paths']:,}",
    "FIRST SEEN": lambda event: _day(event["firstSeen"]),
    "LAST SEEN": lambda event: _day(event["lastSeen"]),
    "CONFLICTS": lambda event: _conflicts(event["conflicts"]),
}
_PATHS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "PATH": lambda path: "(other)" if path["isRest"] else _printable(path["path"]),
    "COUNT": lambda path: f"{path['count']:,}",
    "OF ALL": lambda path: "" if path["isRest"] else _percent(path["share"]),
    "TYPES": lambda path: _types(path["types"], is_rest=path["isRest"], is_conflict=path["conflict"]),
}


@click.group("catalog", invoke_without_command=True)
@click.option("--project", "project_id", default="", metavar="ID", help="Project.  [default: all]")
@click.option("--event", metavar="NAME", help="Show the properties of this event.")
@click.option("--traits", is_flag=True, help="Show the traits of identifies.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_context
@report_errors
def catalog(context: click.Context, project_id: str, event: str | None, *, traits: bool, as_json: bool) -> None:
    """Show which events and traits exist, with their types.

    The sink counts new rows within a minute. A conflict is a property whose values have several types: text beside
    numbers, for example. Integers and floats are one type, nulls are none.

    \b
    Fields of --json: projectId, kind, event, count, paths, conflicts, firstSeen,
    lastSeen; with --event or --traits also properties (path, isRest, count, share,
    conflict, types, firstSeen, lastSeen).
    """  # noqa: D301  # \b keeps click from wrapping the list
    if context.invoked_subcommand is not None:
        return
    from deploy import listing
    from deploy.errors import ArgumentError
    from deploy.operate import catalog as operate
    from deploy.operate import servers

    if traits and event is not None:
        raise ArgumentError("--event and --traits exclude each other: traits belong to no event.")
    found, uncounted = operate.read(servers.find(os.environ), project_id, event, traits=traits)
    shows_paths = traits or event is not None
    if as_json:
        click.echo(
            json.dumps([_describe(each, with_paths=shows_paths) for each in found], indent=2, ensure_ascii=False)
        )
    elif shows_paths:
        click.echo("\n\n".join(map(_details, found)))
    else:
        described = [each.describe() for each in found]
        listing.show(described, _EVENTS, as_json=False, empty="The catalogue is empty: no row has been counted.")
    if uncounted:
        click.echo(f"Source offsets that are not counted yet: {uncounted:,}.", err=True)


@catalog.command("rebuild")
@click.option("--yes", is_flag=True, help="Start without a question.")
@report_errors
def catalog_rebuild(*, yes: bool) -> None:
    """Count every row again.

    Run it after rows were deleted or written by `sequence audit --refill`: the catalogue follows neither. It is empty
    at once, and the sink fills it from the tables.
    """
    from deploy.errors import OperateError
    from deploy.operate import catalog as operate
    from deploy.operate import servers

    found = servers.find(os.environ)
    if not yes and not (sys.stdin.isatty() and click.confirm("Empty the catalogue and count every row again?")):
        raise OperateError("Nothing was changed. Add --yes to count every row again.")
    count = operate.rebuild(found)
    click.echo(
        f"The catalogue is empty. The sink counts {count:,} source offsets; `sequence catalog` shows how far it is."
    )


def _describe(event: Event, *, with_paths: bool) -> dict[str, Any]:
    return event.describe() | ({"properties": event.describe_paths()} if with_paths else {})


def _details(event: Event) -> str:
    from deploy import listing

    total = event.total
    name = _printable(total.event) if total.kind == "event" else "Traits"
    seen = f"{_day(total.first_seen)} to {_day(total.last_seen)}"
    counted = f"{total.count:,} {'rows' if total.count != 1 else 'row'}"
    heading = f"{name}, project {total.project_id}: {counted}, {seen}"
    paths = event.describe_paths()
    if not paths:
        return f"{heading}\nNo properties."
    rows = [[column(path) for column in _PATHS.values()] for path in paths]
    return f"{heading}\n\n{listing.table(list(_PATHS), rows)}"


def _types(types: Sequence[Mapping[str, Any]], *, is_rest: bool, is_conflict: bool) -> str:
    if is_rest:
        return "paths beyond the limit of 10,000"
    if len(types) == 1:
        return str(types[0]["type"])
    shown = ", ".join(f"{each['type']} {_percent(each['share'])}" for each in types)
    return f"{shown}  ← conflict" if is_conflict else shown


def _percent(share: float) -> str:
    """Return *share* in percent. Only a share of zero is shown as 0, and only the whole as 100."""
    if 0 < share < 0.001:
        return "<0.1 %"
    return ">99.9 %" if 0.999 < share < 1 else f"{share * 100:.1f} %".replace("100.0", "100")


def _conflicts(paths: list[str]) -> str:
    more = [f"and {len(paths) - _CONFLICTS_SHOWN} more"] if len(paths) > _CONFLICTS_SHOWN else []
    return ", ".join([*map(_printable, paths[:_CONFLICTS_SHOWN]), *more])


def _printable(name: str) -> str:
    from deploy import listing

    return listing.printable(name) or '""'


def _day(time: str) -> str:
    return time[:10]
