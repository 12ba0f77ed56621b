"""What typed views need of ClickHouse: the catalogue, the types of columns, and the views that exist. Methods block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import time_ns
from typing import TypedDict

import msgspec

from processors.clickhouse.client import ClickHouse
from processors.typed_views.columns import InvalidTypeError, Seen, check_type
from processors.typed_views.naming import typed_by
from processors.typed_views.statements import MARK
from schemas.clickhouse.quoting import literal, quoted
from schemas.clickhouse.replicated import replicated

EVENT, TRAIT = "event", "trait"
"""Kinds of lines of the catalogue."""
_SETTINGS = {"max_query_size": 16 * 1024 * 1024, "max_ast_elements": 1_000_000, "max_expanded_ast_elements": 10**8}
"""A view may have a thousand columns, and thousands of events."""

Shapes = dict[str, dict[tuple[str, str], int]]
"""By project, then by kind and event: a number that changes when a path or a type is new."""


class ViewTypes(TypedDict):
    """The types of the columns of a view."""

    earlier: Mapping[str, str]
    declared: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Types:
    """The types of the columns of a project, by view and column."""

    chosen: Mapping[str, Mapping[str, str]]
    declared: Mapping[str, Mapping[str, str]]

    def of(self, view: str) -> ViewTypes:
        """Return those of *view*, as `columns` takes them."""
        return {"earlier": self.chosen.get(view, {}), "declared": self.declared.get(view, {})}


class ViewStore:
    """The store, in the database of *clickhouse*."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self.base = clickhouse.database
        """The database of the tables."""

    def shapes(self) -> Shapes:
        """Return by event a number that differs once the view of the event must be replaced."""
        found: defaultdict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        for row in self._clickhouse.query(
            "SELECT project_id, kind, event, groupBitXor(cityHash64(path, type)) AS shape FROM catalog"
            " GROUP BY project_id, kind, event"
        ):
            found[row["project_id"]][row["kind"], row["event"]] = int(row["shape"])
        return found

    def seen(self, project_id: str, kind: str, events: Iterable[str]) -> Mapping[str, list[Seen]]:
        """Return the lines of the catalogue about paths of *events*, by event."""
        # As parameters, the names of 50 events may be too long for the server.
        which = ", ".join(map(literal, events))
        rows = self._clickhouse.query_with(
            _SETTINGS,
            "SELECT event, path, type, count FROM catalog WHERE project_id = {project:String} AND kind = {kind:String}"  # noqa: S608  # each name is quoted
            f" AND event IN ({which}) AND type != ''",
            {"project": project_id, "kind": kind},
        )
        found: defaultdict[str, list[Seen]] = defaultdict(list)
        for row in rows:
            found[row["event"]].append(Seen(row["path"], row["type"], int(row["count"])))
        return found

    def types(self, project_id: str) -> Types:
        """Return the types of the columns of *project_id*; those that only a later version knows do not count."""
        rows = self._clickhouse.query(
            "SELECT view, column, is_declared, type FROM view_columns FINAL WHERE project_id = {project:String}",
            {"project": project_id},
        )
        chosen: defaultdict[str, dict[str, str]] = defaultdict(dict)
        declared: defaultdict[str, dict[str, str]] = defaultdict(dict)
        # An older version stored types under names of views that have another one now. Those under this one count.
        for row in sorted(rows, key=lambda row: row["view"] == typed_by(row["view"])):
            if _is_known(row["type"]):
                (declared if row["is_declared"] else chosen)[typed_by(row["view"])][row["column"]] = row["type"]
        return Types(_without_empty(chosen), _without_empty(declared))

    def set_types(self, project_id: str, types: Mapping[str, Mapping[str, str]], *, declared: bool) -> None:
        """Store *types*, by view and column; an empty one counts no more."""
        version = time_ns()
        lines = msgspec.json.Encoder().encode_lines(
            [
                [project_id, view, column, declared, kind, version]
                for view, of_view in types.items()
                for column, kind in of_view.items()
            ]
        )
        self._clickhouse.execute(
            "INSERT INTO view_columns (project_id, view, column, is_declared, type, _version)"
            " FORMAT JSONCompactEachRow",
            lines,
            {"async_insert": 0, "wait_end_of_query": 1},
        )

    def views(self, database: str) -> dict[str, str]:
        """Return the comment of each view in *database*, and an empty one for each table.

        `CREATE TABLE … AS` copies the comment of a view.
        """
        rows = self._clickhouse.query(
            "SELECT name, if(engine = 'View', comment, '') AS comment FROM system.tables"
            " WHERE database = {database:String}",
            {"database": database},
        )
        return {row["name"]: row["comment"] for row in rows}

    def columns(self, select: str) -> list[tuple[str, str]]:
        """Return name and type of each column of *select*."""
        rows = self._clickhouse.query_with(_SETTINGS, f"DESCRIBE ({select})")
        return [(row["name"], row["type"]) for row in rows]

    def create_database(self, name: str) -> None:
        """Create database *name* if it is missing."""
        statement = f"CREATE DATABASE IF NOT EXISTS {quoted(name)}"
        self._clickhouse.execute(replicated(statement, self._clickhouse.cluster))

    def create_view(self, statement: str) -> None:
        """Run *statement*, which creates or replaces a view."""
        self._clickhouse.execute(replicated(statement, self._clickhouse.cluster), settings=_SETTINGS)


def _without_empty(types: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    kept = {view: {name: kind for name, kind in of_view.items() if kind} for view, of_view in types.items()}
    return {view: of_view for view, of_view in kept.items() if of_view}


def _is_known(kind: str) -> bool:
    try:
        return not kind or bool(check_type(kind))
    except InvalidTypeError:
        return False


def is_ours(comment: str) -> bool:
    """Return whether a view with *comment* was made here."""
    return comment.startswith(MARK)
