"""What `sequence rejected replay` does and prints: the servers and the token that it finds, and its report."""

from __future__ import annotations

import asyncio
import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import click

from deploy import secret_files
from deploy.commands import gateways
from deploy.errors import OperateError
from deploy.local.quickstart import TOKEN_FILE
from deploy.operate import rejected, servers, status_local
from deploy.operate.rejected import Selection
from deploy.operate.replay import Outcome, Record, Refused, Replay, Rewritten, reasons
from deploy.operate.replay_program import Program
from deploy.operate.replay_sender import Sender
from deploy.operate.replay_settings import ReplaySettings
from gateway.projects.admin import read_table
from schemas.field_rules import FieldRule
from schemas.projects import Project, digest
from schemas.settings import KafkaSettings, SettingsError, load

SHOWN_ITEMS = 3


@dataclass(frozen=True, slots=True)
class Done:
    """A replay that has ended."""

    id: str | None
    """None of a dry run."""
    project_id: str
    status: str
    outcome: Outcome
    ready: int
    """Items that a dry run would send."""
    selected: int
    field_rules: tuple[FieldRule, ...] = ()
    """Rules of the project, which the gateway applied to what was sent."""

    def describe(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "id": self.id,
            "projectId": self.project_id or None,
            "status": self.status,
            "read": self.outcome.read,
            "accepted": self.outcome.accepted,
            "leftOut": self.outcome.left_out,
            "rejected": _described(self.outcome.rejected),
            "unsendable": _described(self.outcome.unsendable),
            "fieldRules": [str(rule) for rule in self.field_rules],
        }

    def lines(self) -> Iterator[str]:
        """Yield the report for people."""
        outcome = self.outcome
        sent = f"{self.ready} would be sent" if self.id is None else f"{outcome.accepted} accepted"
        yield (
            f"{outcome.read} of {self.selected} items read: {sent}, {len(outcome.rejected)} rejected again, "
            f"{outcome.left_out} left out by the program, {len(outcome.unsendable)} cannot be sent."
        )
        for heading, refused in (("Rejected again", outcome.rejected), ("Cannot be sent", outcome.unsendable)):
            for reason, count, first in reasons(refused):
                yield f"{heading}: {reason.rstrip('.')}. Items: {count}, the first at {first} of rejected.v1."
        if self.status == "stopped":
            yield "Stopped. Correct the program with --set, or add --continue to leave out such items."
        elif outcome.read < self.selected:
            yield f"Add --limit {self.selected} for all of them."
        if self.field_rules:
            rules = ", ".join(map(str, self.field_rules))
            yield f"The gateway applied the field rules of project {self.project_id}: {rules}."
        if self.id is not None:
            yield f"Replay {self.id} is a row of the table replays."


def _described(refused: list[Refused]) -> list[dict[str, Any]]:
    return [{"reason": reason, "items": count, "first": first} for reason, count, first in reasons(refused)]


def try_out(selection: Selection, program: Program, limit: int, *, goes_on: bool, shows: bool) -> Done | None:
    """Rewrite and validate, and send nothing; None if no item is selected.

    With *shows*, print how the first items change.
    """
    with servers.reading(os.environ) as clickhouse:
        selected = rejected.count(clickhouse, selection)
        if not selected:
            return None
        replay = Replay(selection.project_id, program, goes_on=goes_on)
        items = replay.rewritten(clickhouse, selection, limit)
        first = list(islice(items, SHOWN_ITEMS))
        if shows:
            for each in first:
                click.echo("\n".join([f"{each.place} of rejected.v1", *_diff(each), ""]))
        ready = len(first) + sum(1 for _ in items)
    status = "stopped" if replay.is_stopped else "dry run"
    return Done(None, selection.project_id, status, replay.outcome, ready, selected)


def _diff(each: Rewritten) -> list[str]:
    """Return how an item changes, as a unified diff of its JSON."""
    before, after = (
        json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines() for text in (each.before, each.item)
    )
    return list(difflib.unified_diff(before, after, n=len(before), lineterm=""))[3:] or ["No change."]


def carry_out(selection: Selection, program: Program, limit: int, gateway: str | None, *, goes_on: bool) -> Done | None:
    """Replay, and keep a row of it; None if no item is selected."""
    found = servers.find(os.environ)
    sender = _sender(found, gateway)
    project = asyncio.run(_project(found.kafka, sender.token, selection.project_id))
    project_id = project.id
    selection = replace(selection, project_id=project_id)
    with servers.reading(os.environ) as reader, found.tables() as writer:
        selected = rejected.count(reader, selection)
        if not selected:
            return None
        replay = Replay(project_id, program, goes_on=goes_on)
        record = Record(writer, project_id, selection, program)
        record.write(sender.gateway, "running", replay.outcome)
        status = "failed"
        try:
            replay.send(replay.rewritten(reader, selection, limit), sender, _Progress(min(selected, limit)))
            status = "stopped" if replay.is_stopped else "complete"
        finally:
            record.write(sender.gateway, status, replay.outcome)
    return Done(record.id, project_id, status, replay.outcome, 0, selected, project.field_rules)


class _Progress:
    """Shows how far a replay is, on standard error: each batch of several, but not the last, whose totals are shown."""

    def __init__(self, items: int) -> None:
        self._items = items

    def __call__(self, outcome: Outcome) -> None:
        if outcome.read < self._items:
            click.echo(f"{outcome.read} of {self._items} items read, {outcome.accepted} accepted.", err=True)


def _sender(found: servers.Servers, gateway: str | None) -> Sender:
    """Return the gateway and the token; raises `SettingsError` or `UsageError` without them."""
    state = status_local.directory_of(found, os.environ)
    address = gateways.address(found, gateway, os.environ)
    token = load(ReplaySettings, os.environ).token
    if not token and state is not None:
        token = secret_files.read(state / TOKEN_FILE)
    if not token:
        raise SettingsError(
            "SEQUENCE_REPLAY_TOKEN: must be set to a write token of the project, for example with "
            "`export SEQUENCE_REPLAY_TOKEN=$(sequence token create PROJECT --expires-in 1h)`"
        )
    return Sender(address, token)


async def _project(kafka: KafkaSettings, token: str, project_id: str) -> Project:
    """Return the project of *token*; `OperateError` if it is unknown or another than *project_id*."""
    table = await read_table(kafka)
    known = table.tokens.get(digest(token))
    if known is None:
        raise OperateError("SEQUENCE_REPLAY_TOKEN is unknown. Create a token with `sequence token create PROJECT`.")
    if project_id not in ("", known.project_id):
        raise OperateError(
            f"The token is one of project {known.project_id}, but --project is {project_id}. Set SEQUENCE_REPLAY_TOKEN "
            f"to a token of {project_id}: export SEQUENCE_REPLAY_TOKEN=$(sequence token create {project_id} "
            "--expires-in 1h)"
        )
    return table.projects[known.project_id]
