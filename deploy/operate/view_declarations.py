"""Declarations of column types: the file that `sequence views apply` reads, and what it changes. Pure.

The file is TOML and belongs into the repository of those who own the events:

    [projects.shop.events."Order Completed"]
    price = "decimal(18, 2)"
    "address.zip" = "text"

    [projects.shop.traits]
    birthday = "date"

    [projects.shop.events_with_person]
    plan = "text"

The last table names the traits that `events_with_person` joins. The file is complete for the projects that it names:
what it does not declare is not declared any more.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.errors import ArgumentError
from processors.typed_views.columns import InvalidTypeError, check_type
from processors.typed_views.naming import EVENTS_WITH_PERSON, USERS, column_name, typed_by, view_name
from processors.typed_views.person_traits import MAX_TRAITS
from processors.typed_views.statements import EVENT_COLUMNS, USER_COLUMNS
from schemas.projects import is_project_id

Declared = Mapping[str, Mapping[str, str]]
"""The type of each column, by view and column."""


@dataclass(frozen=True, slots=True)
class Change:
    """A declaration that is new, different or gone."""

    view: str
    column: str
    before: str | None
    after: str | None


def parse(text: str) -> dict[str, Declared]:
    """Return the declarations of *text* by project; raises `ArgumentError`, which names the place."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"The file is not TOML: {error}.") from error
    projects = _table(document, "projects", "the file")
    _refuse_others(document, {"projects"}, "the file")
    return {project_id: _project(project_id, _table(projects, project_id, "projects")) for project_id in projects}


def changes(before: Declared, after: Declared) -> list[Change]:
    """Return what differs, by view and column."""
    keys = {(view, column) for declared in (before, after) for view in declared for column in declared[view]}
    found = [
        Change(view, column, before.get(view, {}).get(column), after.get(view, {}).get(column))
        for view, column in sorted(keys)
    ]
    return [change for change in found if change.before != change.after]


def _project(project_id: str, declared: Mapping[str, Any]) -> Declared:
    place = f"projects.{project_id}"
    if not is_project_id(project_id):
        raise ArgumentError(f"{place}: a project ID has 1-64 letters, digits, `_` or `-`.")
    _refuse_others(declared, {"events", "traits", EVENTS_WITH_PERSON}, place)
    views: dict[str, dict[str, str]] = {}
    events = _table(declared, "events", place)
    for event in events:
        columns = views.setdefault(typed_by(view_name(event)), {})
        of_event = f'{place}.events."{event}"'
        _add(columns, _types(_table(events, event, place), of_event, EVENT_COLUMNS, "property"), of_event)
    if traits := _table(declared, "traits", place):
        _add(views.setdefault(USERS, {}), _types(traits, f"{place}.traits", USER_COLUMNS, "trait"), place)
    if of_events := _table(declared, EVENTS_WITH_PERSON, place):
        if len(of_events) > MAX_TRAITS:
            raise ArgumentError(f"{place}.{EVENTS_WITH_PERSON} has {len(of_events)} traits; at most {MAX_TRAITS}.")
        columns = views.setdefault(EVENTS_WITH_PERSON, {})
        _add(columns, _types(of_events, f"{place}.{EVENTS_WITH_PERSON}", USER_COLUMNS, "trait"), place)
    return views


def _types(
    declared: Mapping[str, Any], place: str, reserved: tuple[str, ...], prefix: str
) -> Iterator[tuple[str, str]]:
    for path, kind in declared.items():
        if not isinstance(kind, str):
            raise ArgumentError(
                f'{place}.{path}: the type must be text, such as "integer". Quote a path with dots: "address.zip".'
            )
        try:
            yield column_name(path, reserved, prefix), check_type(kind)
        except InvalidTypeError as error:
            raise ArgumentError(f"{place}.{path}: {error}") from error


def _add(columns: dict[str, str], types: Iterator[tuple[str, str]], place: str) -> None:
    for column, kind in types:
        if columns.setdefault(column, kind) != kind:
            raise ArgumentError(f"{place}: the column {column} has two types, {columns[column]} and {kind}.")


def _table(document: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    found = document.get(name, {})
    if not isinstance(found, Mapping):
        raise ArgumentError(f'{place}: `{name}` must be a table, such as [projects.shop.events."Signed Up"].')
    return found


def _refuse_others(document: Mapping[str, Any], known: set[str], place: str) -> None:
    if others := sorted(document.keys() - known):
        raise ArgumentError(f"{place}: {', '.join(others)} is unknown. Known: {', '.join(sorted(known))}.")
