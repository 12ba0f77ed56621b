"""`sequence views`: lists typed views and their columns, and applies declarations of types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deploy.errors import ArgumentError
from deploy.operate.view_declarations import Change, Declared, changes
from processors.clickhouse.client import ClickHouse
from processors.typed_views.naming import (
    EVENTS_WITH_PERSON,
    IDENTIFIES,
    PERSON_HISTORY,
    USERS,
    VIEWS,
    database_name,
    typed_by,
    view_name,
    views_of,
)
from processors.typed_views.refresh import Refreshed, ViewRefresher
from processors.typed_views.statements import EVENT_COLUMNS, HISTORY_COLUMNS, IDENTIFY_COLUMNS, USER_COLUMNS
from processors.typed_views.store import EVENT, ViewStore, is_ours

_FIELDS = {IDENTIFIES: IDENTIFY_COLUMNS, USERS: USER_COLUMNS, PERSON_HISTORY: HISTORY_COLUMNS}


@dataclass(frozen=True, slots=True)
class ListedView:
    """A typed view."""

    project_id: str
    database: str
    name: str
    columns: Sequence[tuple[str, str, str]]
    """Name, type in ClickHouse and comment of each column."""


@dataclass(frozen=True, slots=True)
class ShownView(ListedView):
    """A typed view with what its columns have beside their types."""

    declared: Mapping[str, str]
    """Declared types by column."""
    elsewhere: Mapping[str, Mapping[str, Sequence[str]]]
    """By column, other types that a column of this name has in the project, with the views: a join needs one type."""


def listed(clickhouse: ClickHouse, project_id: str | None) -> list[ListedView]:
    """Return the views of *project_id*, of all projects if it is None."""
    store = ViewStore(clickhouse)
    found = []
    for project in _projects(store, project_id):
        database = database_name(store.base, project)
        names = sorted(name for name, comment in store.views(database).items() if is_ours(comment))
        columns = _columns(clickhouse, database)
        found += [ListedView(project, database, name, columns.get(name, ())) for name in names]
    return found


def shown(clickhouse: ClickHouse, project_id: str, name: str) -> ShownView:
    """Return the view *name* of *project_id*, or that of the event *name*.

    Columns for properties and traits are first, before those that every view of its kind has. Raises `ArgumentError` if
    there is no such view.
    """
    views = {view.name: view for view in listed(clickhouse, project_id)}
    found = views.get(name) or views.get(view_name(name))
    if found is None:
        raise ArgumentError(f"Project {project_id} has no view {name}. `sequence views list` shows all.")
    fixed = _FIELDS.get(found.name, EVENT_COLUMNS)
    own_first = sorted(found.columns, key=lambda column: column[0] in fixed)
    by_name = ViewStore(clickhouse).types(project_id).declared.get(typed_by(found.name), {})
    by_column = {_column(found.name, name): kind for name, kind in by_name.items()}
    declared = {name: by_column[name] for name, *_ in found.columns if name in by_column and name not in fixed}
    elsewhere = {
        name: _elsewhere(views.values(), name, kind) for name, kind, _ in own_first if name not in EVENT_COLUMNS
    }
    return ShownView(found.project_id, found.database, found.name, own_first, declared, elsewhere)


def _column(view: str, declared: str) -> str:
    """Return the column of *view* for the name of a declaration."""
    return f"person_{declared}" if view == EVENTS_WITH_PERSON else declared


def _elsewhere(views: Iterable[ListedView], name: str, kind: str) -> dict[str, list[str]]:
    types: dict[str, list[str]] = {}
    for view in views:
        for column, other, _ in view.columns:
            if column == name and _without_null(other) != _without_null(kind):
                types.setdefault(other, []).append(view.name)
    return types


def _without_null(kind: str) -> str:
    """Return the type *kind* as a join compares it."""
    return kind.removeprefix("Nullable(").removesuffix(")") if kind.startswith("Nullable(") else kind


def pending_changes(clickhouse: ClickHouse, declared: Mapping[str, Declared]) -> dict[str, list[Change]]:
    """Return by project what applying *declared* changes; raises `ArgumentError` for a project without events."""
    store = ViewStore(clickhouse)
    known = store.shapes()
    if unknown := sorted(declared.keys() - known.keys()):
        raise ArgumentError(f"No event of {', '.join(unknown)} has been counted. `sequence project list` shows all.")
    return {project: changes(store.types(project).declared, after) for project, after in declared.items()}


def unseen_views(clickhouse: ClickHouse, pending: Mapping[str, Sequence[Change]]) -> list[tuple[str, str]]:
    """Return project and view of each declaration in *pending* whose event has not been counted, perhaps a mistake."""
    shapes = ViewStore(clickhouse).shapes()
    return [
        (project, view)
        for project, of_project in pending.items()
        for view in sorted({change.view for change in of_project if change.after is not None})
        if view not in {*VIEWS, *views_of(event for kind, event in shapes[project] if kind == EVENT)}
    ]


def apply(clickhouse: ClickHouse, pending: Mapping[str, Sequence[Change]]) -> list[Refreshed]:
    """Store *pending* and replace the views of the projects that differ."""
    store = ViewStore(clickhouse)
    for project, of_project in pending.items():
        types: dict[str, dict[str, str]] = {}
        for change in of_project:
            types.setdefault(change.view, {})[change.column] = change.after or ""
        if types:
            store.set_types(project, types, declared=True)
    shapes, refresher = store.shapes(), ViewRefresher(store)
    return [refresher.refresh_project(project, shapes[project]) for project in pending]


def refresh(clickhouse: ClickHouse) -> list[Refreshed]:
    """Make the views of all projects where they differ from the catalogue, as the sink does."""
    return ViewRefresher(ViewStore(clickhouse)).refresh()


def _projects(store: ViewStore, project_id: str | None) -> list[str]:
    known = sorted(store.shapes())
    if project_id is None:
        return known
    if project_id not in known:
        raise ArgumentError(f"No event of {project_id} has been counted. `sequence project list` shows all projects.")
    return [project_id]


def _columns(clickhouse: ClickHouse, database: str) -> dict[str, list[tuple[str, str, str]]]:
    found: dict[str, list[tuple[str, str, str]]] = {}
    for row in clickhouse.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {database:String}"
        " ORDER BY table, position",
        {"database": database},
    ):
        found.setdefault(row["table"], []).append((row["name"], row["type"], row["comment"]))
    return found
