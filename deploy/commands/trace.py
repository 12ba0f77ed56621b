"""`sequence trace`: what became of an item."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.trace_result import Looked, Occurrence, Rejected, Trace

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.command("trace")
@click.argument("message_id", metavar="MESSAGE_ID")
@click.option("--project", "project_id", metavar="ID", help="Search this project only.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=6.0,
    show_default=True,
    help="Time in which records are read from Kafka, newest first.",
)
@report_errors
def trace_command(message_id: str, project_id: str | None, seconds: float, *, as_json: bool) -> None:
    """Show where the items with MESSAGE_ID are.

    Searches the tables, the records that a stage has not processed yet, and older records if neither has it. Shows
    each occurrence: when it was received, whether it is unique, whether its row is visible, or why it was rejected.
    Exits with 1 if nothing is known of MESSAGE_ID.

    \b
    Fields of --json: messageId, projectId, occurrences, tables, topics, notes.
    Of occurrences: projectId, receivedAt, timestamp, type, event, userId, warnings,
    verdict, tokenId, possibleTokens, log, partition, offset, dedupe, first,
    sameContent, output, persons, row, table, erasure, visibleBy, waiting, rejected.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy.operate import servers, trace
    from deploy.operate.trace_result import describe

    found = trace.trace(servers.find(os.environ), message_id, project_id, read_seconds=seconds)
    if as_json:
        click.echo(json.dumps(describe(found), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(found)))
    if not found.occurrences:
        raise click.exceptions.Exit(1)


def lines(found: Trace) -> Iterator[str]:
    """Yield the answer for people."""
    count = len(found.occurrences)
    if count:
        yield f"{found.message_id}: {count} {'occurrence' if count == 1 else 'occurrences'}."
    else:
        of_project = f" of project {found.project_id}" if found.project_id else ""
        yield f"No item{of_project} with the messageId {found.message_id} was found."
    for each in found.occurrences:
        yield ""
        yield from _occurrence(each)
    if not count or found.notes:
        yield ""
    if not count:
        yield f"Tables: {', '.join(found.tables) or 'none'}."
        for looked in found.topics:
            yield _looked(looked)
        yield "Check the messageId and the project. An item that was not answered with 200 was not stored."
    yield from found.notes


def _occurrence(each: Occurrence) -> Iterator[str]:
    yield f"Received {_time(each.received_at)}, {each.verdict}"
    named = " ".join([each.type or "item", *([f'"{each.event}"'] if each.event else [])])
    yield _line("Item", f"{named} of user {each.user_id}" if each.user_id else named)
    if each.timestamp:
        yield _line("Timestamp", _timestamp(each.timestamp))
    yield _line("Project", each.project_id)
    if each.possible_tokens:
        shown = ", ".join(f"{token.id} ({token.hint})" if token.hint else token.id for token in each.possible_tokens)
        one_of = "" if len(each.possible_tokens) == 1 else "one of "
        yield _line("Token", f"{one_of}{shown}")
    for warning in each.warnings:
        yield _line("Warning", f"{warning.code}, field {warning.field}")
    if each.offset is not None:
        yield _line("Stored", f"items.v1, partition {each.partition}, offset {each.offset}")
    if each.dedupe is not None:
        yield _line("Dedupe", _dedupe(each))
    if each.persons is not None:
        waits = each.persons == "waiting"
        yield _line("Persons", f"not folded yet{_ahead(each, 'persons')}" if waits else each.persons)
    if each.row is not None:
        yield _line("Row", _row(each))
    if each.rejected is not None:
        yield from _rejected(each.rejected)


def _dedupe(each: Occurrence) -> str:
    if each.dedupe == "waiting":
        return f"not processed yet{_ahead(each, 'dedupe')}"
    if each.dedupe == "duplicate" and each.first is not None:
        first = f"of offset {each.first.offset}"
        when = f", received {_time(each.first.received_at)}" if each.first.received_at else ""
        content = {None: "", True: ", same content", False: ", other content"}[each.same_content]
        return f"duplicate {first}{when}{content}"
    if each.dedupe == "unknown":
        return "processed; its record on events.v1 or duplicates.v1 was not found"
    return each.dedupe or ""


def _row(each: Occurrence) -> str:
    if each.row == "visible":
        by = f" since {_time(each.visible_by)}" if each.visible_by else ""
        return f"visible in {each.table}{by}"
    if each.row == "waiting":
        return f"not visible yet{_ahead(each, 'sink')}"
    if each.row == "erased":
        return f"not in {each.table}: erasure {each.erasure} covers it"
    if each.row == "removed":
        return f"not in {each.table}: it was removed on purpose, by retention or before `sequence positions keep`"
    if each.row == "missing":
        return f"not in {each.table}, although the sink has processed it. It was deleted, or run `sequence audit`"
    return each.row or ""


def _ahead(each: Occurrence, stage: str) -> str:
    from deploy.operate.status_result import span

    waiting = each.waiting
    if waiting is None or waiting.stage != stage:
        return ""
    before = f"{_records(waiting.records)} {'is' if waiting.records == 1 else 'are'} before it in its partition"
    age = "" if waiting.seconds is None else f", the oldest {span(waiting.seconds)} old"
    place = f"{before}{age}" if waiting.records else "it is next"
    return f": it has waited {span(waiting.waited_seconds)} for {stage}, {place}. Run `sequence status`"


def _records(count: int) -> str:
    return f"{count} {'record' if count == 1 else 'records'}"


def _rejected(rejected: Rejected) -> Iterator[str]:
    field = f", field {rejected.field}" if rejected.field else ""
    yield _line("Rejected", f"by {rejected.stage} at {_time(rejected.rejected_at)}: {rejected.code}{field}")
    yield _line("", rejected.message)
    place = rejected.place
    yield _line("", f"Content: {place.topic}, partition {place.partition}, offset {place.offset}")
    if rejected.request_id:
        yield _line("", f"Request: {rejected.request_id}")


def _looked(looked: Looked) -> str:
    if looked.records == 0 and looked.is_complete:
        return f"{looked.topic}: no records to read."
    since = f" since {_time(looked.since)}" if looked.since else ""
    read = f"{looked.topic}: read {_records(looked.records)}{since}"
    if looked.is_complete:
        return f"{read}, all that can have this messageId."
    begins = f", which has records since {_time(looked.reaches_back_to)}" if looked.reaches_back_to else ""
    return f"{read}, a part of the topic{begins}. Add `--seconds 60` to read more."


def _line(name: str, text: str) -> str:
    return f"  {name:<9} {text}"


def _timestamp(text: str) -> str:
    """Return the time of an event for people; of a rejected item it may be any text."""
    from schemas.times import parse_time

    try:
        parse_time(text)
    except ValueError:
        return repr(text)
    return _time(text) if text.endswith("Z") else text


def _time(text: str | None) -> str:
    """Return a time in UTC to the millisecond."""
    return "" if text is None else f"{text.removesuffix('Z')[:23].replace('T', ' ')} UTC"
