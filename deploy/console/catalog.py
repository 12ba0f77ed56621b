"""`/api/catalog`: which events and traits exist, and one of them with its paths, their types and conflicts.

`docs/catalog.md` explains the catalogue. The rules of conflicts and shares are those of `sequence catalog`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from deploy.console.errors import UnknownError
from deploy.console.items import row_time
from deploy.console.tables import LimitedClickHouse
from deploy.operate.catalog_result import FAMILIES, Entry, Path
from schemas.clickhouse.quoting import literal

MOST_EVENTS = 500
MOST_PATHS = 500
CONFLICTS_SHOWN = 20
"""Names of paths in conflict that the list has of an event."""

Kind = Literal["event", "trait"]
_TYPES = ("integer", "float", "boolean", "text", "array", "array of objects")
"""Types of `docs/catalog.md` that can be in conflict."""
_FAMILIES = list(dict.fromkeys(FAMILIES.get(each, each) for each in _TYPES))
_BITS = [1 << _FAMILIES.index(FAMILIES.get(each, each)) for each in _TYPES]
_FAMILY = f"transform(toString(type), [{', '.join(map(literal, _TYPES))}], {_BITS}, 0)"
_PATHS = (
    "SELECT project_id, kind, event, path, type = '' AS is_untyped, sum(count) AS rows, min(first_seen) AS first,"  # noqa: S608  # our own names
    f" max(last_seen) AS last, bitCount(groupBitOr({_FAMILY})) > 1 AS is_conflict{{types}}"
    " FROM catalog WHERE {condition} GROUP BY project_id, kind, event, path, is_untyped"
)
_WITH_TYPES = ", groupArray((toString(type), count, toString(first_seen), toString(last_seen))) AS types"


class CataloguedEvent(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An event, or the traits of a project."""

    project_id: str
    kind: str
    event: str | None
    """None for traits."""
    count: int
    paths: int
    conflict_count: int
    conflicts: list[str]
    """Paths in conflict, at most `CONFLICTS_SHOWN`."""
    first_seen: str
    last_seen: str


class Catalogue(msgspec.Struct, frozen=True, rename="camel"):
    """Events and traits."""

    events: list[CataloguedEvent]
    is_complete: bool
    """Whether there are no more than `MOST_EVENTS`."""


class EventPaths(msgspec.Struct, frozen=True, rename="camel"):
    """An event with its paths, the most frequent first."""

    event: CataloguedEvent
    paths: list[dict[str, Any]]
    is_complete: bool
    """Whether there are no more than `MOST_PATHS`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events. None stands for all; *event* is of the kind `event`."""

    project_id: str | None
    kind: Kind | None = None
    event: str | None = None
    only_conflicts: bool = False

    def paths(self, types: str = "") -> str:
        """Return the query of the paths, with *types* among its columns."""
        given = {
            "project_id = {project:String}": self.project_id is not None,
            "kind = {kind:String}": self.kind is not None,
            "event = {event:String}": self.event is not None,
        }
        condition = " AND ".join(condition for condition, is_given in given.items() if is_given) or "1"
        return _PATHS.format(types=types, condition=condition)

    @property
    def parameters(self) -> Mapping[str, str]:
        """The values of the query."""
        return {"project": self.project_id or "", "kind": self.kind or "", "event": self.event or ""}


def listed(clickhouse: LimitedClickHouse, asked: Asked) -> Catalogue:
    """Return the events by project, the most frequent first, and the traits after them; raises `LimitError`."""
    rows = clickhouse.query(_events(asked), asked.parameters)
    return Catalogue([_event(row) for row in rows[:MOST_EVENTS]], len(rows) <= MOST_EVENTS)


def one(clickhouse: LimitedClickHouse, asked: Asked) -> EventPaths:
    """Return the event or the traits of one project with their paths; raises `UnknownError` and `LimitError`."""
    found = clickhouse.query(_events(asked), asked.parameters)
    if not found:
        what = "traits" if asked.kind == "trait" else f"event {asked.event!r}"
        raise UnknownError(
            "not_catalogued",
            f"The catalogue has no {what} of project {asked.project_id}. Names are case-sensitive, and new rows are "
            "counted within a minute.",
        )
    event = _event(found[0])
    rows = clickhouse.query(
        f"SELECT path, types FROM ({asked.paths(_WITH_TYPES)}) WHERE path != '' OR NOT is_untyped"  # noqa: S608  # our own names
        f" ORDER BY is_untyped, rows DESC, path LIMIT {MOST_PATHS + 1}",
        asked.parameters,
    )
    paths = [Path(row["path"], _entries(row, event)).describe(event.count) for row in rows[:MOST_PATHS]]
    return EventPaths(event, paths, len(rows) <= MOST_PATHS)


def _events(asked: Asked) -> str:
    conflicts = " HAVING conflict_count > 0" if asked.only_conflicts else ""
    return (
        "SELECT project_id, kind, event, sumIf(rows, path = '' AND is_untyped) AS items,"  # noqa: S608  # our own names
        f" countIf(NOT is_untyped) AS paths, countIf(is_conflict) AS conflict_count,"
        f" groupArraySortedIf({CONFLICTS_SHOWN})(path, is_conflict) AS conflicts, min(first) AS first_seen,"
        f" max(last) AS last_seen FROM ({asked.paths()}) GROUP BY project_id, kind, event{conflicts}"
        f" ORDER BY project_id, kind, items DESC, event LIMIT {MOST_EVENTS + 1}"
    )


def _event(row: Mapping[str, Any]) -> CataloguedEvent:
    return CataloguedEvent(
        project_id=row["project_id"],
        kind=row["kind"],
        event=row["event"] if row["kind"] == "event" else None,
        count=int(row["items"]),
        paths=int(row["paths"]),
        conflict_count=int(row["conflict_count"]),
        conflicts=row["conflicts"],
        first_seen=row_time(row["first_seen"]),
        last_seen=row_time(row["last_seen"]),
    )


def _entries(row: Mapping[str, Any], event: CataloguedEvent) -> list[Entry]:
    entries = [
        Entry(
            event.project_id, event.kind, event.event or "", row["path"], kind, int(count), row_time(first),
            row_time(last),
        )
        for kind, count, first, last in row["types"]
    ]  # fmt: skip
    return sorted(entries, key=lambda entry: (-entry.count, entry.type))
