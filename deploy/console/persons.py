"""`/api/persons/{userId}`: a person's traits with the write that set each, and the newest events.

The state of a person in ClickHouse has no write of a trait, so the newest identifies are folded again, by the rules of
`schemas.persons`. A trait that an older one set is shown with its value alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from deploy.console import event_search, items
from deploy.console.errors import ParameterError, UnknownError
from deploy.console.items import Item, row_time
from deploy.console.search_sql import Match, Window
from deploy.console.tables import LimitedClickHouse, LimitError
from schemas.items import Identify
from schemas.persons import Person, fold, kept_id, tombstone_name
from schemas.times import format_time

IDENTIFIES = 1000
"""Identifies that are folded, the newest by their time."""
EVENTS = 20
_BYTES = 8 * 1024 * 1024
_STATE = (
    "SELECT project_id, toJSONString(traits) AS body, traits_null_keys AS null_keys, first_seen, last_seen FROM persons"
    " WHERE user_id = {user:String} AND project_id IN ({projects:Array(String)}) LIMIT 10"
)
_PROJECTS = (
    "SELECT DISTINCT project_id FROM identifies WHERE user_id = {user:String}"
    " AND project_id IN ({projects:Array(String)}) LIMIT 10"
)
_IDENTIFIES = (
    "SELECT message_id, timestamp, whole AS body, null_keys FROM (SELECT message_id, timestamp,"
    " toJSONString(traits) AS whole, traits_null_keys AS null_keys, sum(length(whole)) OVER (ORDER BY timestamp DESC,"
    " message_id DESC ROWS UNBOUNDED PRECEDING) AS bytes FROM (SELECT message_id, timestamp, traits, traits_null_keys"
    " FROM identifies WHERE project_id = {project:String} AND user_id = {user:String}"
    " ORDER BY timestamp DESC, message_id DESC LIMIT {limit:UInt32})) WHERE bytes <= {bytes:UInt64}"
)


class Trait(msgspec.Struct, frozen=True, rename="camel"):
    """A trait, with the identify that set it if that is known."""

    name: str
    value: msgspec.Raw
    set_at: str | None
    message_id: str | None


class Removed(msgspec.Struct, frozen=True, rename="camel"):
    """A trait that an identify removed."""

    name: str
    removed_at: str


class ShownPerson(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A person."""

    project_id: str
    user_id: str
    first_seen: str
    last_seen: str
    traits: list[Trait]
    removed: list[Removed]
    events: Sequence[Item]
    is_complete: bool
    message: str | None = None


def find(clickhouse: LimitedClickHouse, project_ids: Sequence[str], user_id: str, window: Window) -> ShownPerson:
    """Return the person of the user in one of *project_ids*; raises `UnknownError`, `ParameterError`, `LimitError`."""
    asked = {"user": user_id, "projects": list(project_ids)}
    states = clickhouse.query(_STATE, asked)
    # The sink may have written the identify and not yet the state.
    found = states or clickhouse.query(_PROJECTS, asked)
    if len(found) > 1:
        names = ", ".join(sorted(each["project_id"] for each in found))
        raise ParameterError(f"project: several projects have this user: {names}. Name one of them.")
    if not found:
        raise _unknown(user_id)
    project_id = found[0]["project_id"]
    identifies, is_complete = _identifies(clickhouse, project_id, user_id)
    person = _folded(identifies)
    state = states[0] if states else None
    traits = _traits(person, state, {kept_id(each.message_id): each.message_id for each in identifies})
    known = {trait.name: trait for trait in traits}
    removed = [] if person is None else _removed(person, identifies)
    events = event_search.search(clickhouse, Match(project_id, user_id), window, EVENTS)
    first = row_time(state["first_seen"]) if state else person.first_seen if person else ""
    last = row_time(state["last_seen"]) if state else person.last_seen if person else ""
    messages = [] if is_complete else [f"Only the newest {len(identifies)} identifies were read."]
    if events.message is not None:
        messages.append(events.message)
    return ShownPerson(
        project_id=project_id,
        user_id=user_id,
        first_seen=min(first, person.first_seen) if person else first,
        last_seen=max(last, person.last_seen) if person else last,
        traits=sorted(known.values(), key=lambda trait: trait.name),
        removed=removed,
        events=events.items,
        is_complete=is_complete and events.is_complete,
        message=" ".join(messages) or None,
    )


def _unknown(user_id: str) -> UnknownError:
    return UnknownError(
        "person_unknown",
        f"No identify of user {user_id!r} is in ClickHouse. Check the userId; a new person appears within seconds.",
    )


def _identifies(clickhouse: LimitedClickHouse, project_id: str, user_id: str) -> tuple[list[Identify], bool]:
    """Return the newest identifies, and whether these are all. Where they take too much memory, fewer are read."""
    limit = IDENTIFIES
    while True:
        parameters = {"project": project_id, "user": user_id, "limit": limit + 1, "bytes": _BYTES}
        try:
            rows = clickhouse.query(_IDENTIFIES, parameters)
        except LimitError as error:
            if not error.is_memory or limit == 1:
                raise
            limit = max(1, limit // 8)
            continue
        break
    found = [_identify(row, project_id, user_id) for row in rows[:limit]]
    parameters = {"project": project_id, "user": user_id, "limit": len(found) + 1}
    counted = clickhouse.query(
        "SELECT count() AS all FROM (SELECT 1 FROM identifies WHERE project_id = {project:String} AND"
        " user_id = {user:String} LIMIT {limit:UInt32})",
        parameters,
    )
    return found, int(counted[0]["all"]) <= len(found)


def _identify(row: Mapping[str, Any], project_id: str, user_id: str) -> Identify:
    time = row_time(row["timestamp"])
    traits = items.with_nulls(row["body"], row["null_keys"])
    return Identify(project_id, row["message_id"], user_id, time, time, traits=traits)


def _folded(identifies: Sequence[Identify]) -> Person | None:
    person = None
    for identify in identifies:
        person = fold(person, identify)
    return person


def _traits(person: Person | None, state: Mapping[str, Any] | None, ids: Mapping[str, str]) -> list[Trait]:
    """Return the traits: those of the fold, and those of the state that no identify of the fold names."""
    traits, stamps = ({}, {}) if person is None else (person.traits, person.stamps)
    found = [
        Trait(name, value, format_time(stamps[name][0]), ids.get(stamps[name][1], stamps[name][1]))
        for name, value in traits.items()
    ]
    if state is not None:
        removed = set() if person is None else set(person.removed)
        for name, value in _members(items.with_nulls(state["body"], state["null_keys"])).items():
            if name not in traits and tombstone_name(name) not in removed:
                found.append(Trait(name, value, None, None))
    return found


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _removed(person: Person, identifies: Sequence[Identify]) -> list[Removed]:
    """Return the removed traits by name; a tombstone has a hash in place of a long name."""
    names = {tombstone_name(name): name for each in identifies for name in _members(each.traits)}
    return [Removed(names.get(kept, kept), format_time(time)) for kept, time in sorted(person.removed.items())]
