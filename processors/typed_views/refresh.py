"""Makes the typed views of every project from the catalogue, and again when it has new events, paths or types.

Only definitions are written: no row is copied or changed. A view of the same name that somebody else has made stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType

from processors.clickhouse.errors import ClickHouseError
from processors.typed_views import comments, statements
from processors.typed_views.columns import Column, clickhouse_type, columns
from processors.typed_views.naming import (
    EVENTS_WITH_PERSON,
    IDENTIFIES,
    PERSON_HISTORY,
    TRACKS,
    USERS,
    VIEWS,
    database_name,
    typed_by,
    view_name,
    views_of,
)
from processors.typed_views.person_traits import events_with_person
from processors.typed_views.store import EVENT, TRAIT, Types, ViewStore, is_ours

ACCESS_DENIED = 497
VIEWS_AT_ONCE = 50
"""Views for which the catalogue is read, and types are stored, in one statement."""
_AFTER_COLUMNS = frozenset({*statements.CONTEXT, "traits"})
"""Columns that stand after those of properties and traits: those of the context, and in `users` the JSON."""
MAX_FAILED = 10
"""Views of a project that fail before the others are left for the next refresh: the fault is that of no view."""
log = logging.getLogger(__name__)

_Shape = Mapping[tuple[str, str], int]


class RefusedViewError(ClickHouseError):
    """ClickHouse refuses the statement of a view."""

    def __init__(self, view: str, error: ClickHouseError) -> None:
        super().__init__(f"The view {view} cannot be made: {error}", error.code)
        self.view = view
        """Its name, with that of its database."""


@dataclass(frozen=True, slots=True)
class View:
    """A view as it should be."""

    name: str
    select: str
    columns: Sequence[Column]
    """Columns for properties or traits."""
    fields: str
    """A SELECT of the other columns."""
    comments: Mapping[str, str]
    """The comment of each column."""
    version: str
    """The comment of the view, which differs if its columns or their comments do."""

    def statement(self, database: str, listed: Iterable[tuple[str, str]]) -> str:
        """Return the statement that creates the view with the columns *listed*, by name and type."""
        columns = [(name, kind, self.comments[name]) for name, kind in listed]
        return statements.create_view(database, self.name, self.select, self.version, columns)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh has changed in one database."""

    database: str
    made: list[str] = field(default_factory=list)
    """Views that were created or replaced."""
    foreign: list[str] = field(default_factory=list)
    """Names that somebody else's views have."""
    failed: dict[str, RefusedViewError] = field(default_factory=dict)
    """Errors of views that ClickHouse has refused, by name."""


class ViewRefresher:
    """Keeps the views of all projects. For one thread."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store
        self._shapes: dict[str, _Shape] = {}
        """Of the projects whose views are as the catalogue was then."""

    def forget(self) -> None:
        """Compare every view at the next refresh."""
        self._shapes.clear()

    def refresh(self, note: Callable[[Refreshed], None] = lambda _: None) -> list[Refreshed]:
        """Create and replace views where the catalogue has changed; raises `ClickHouseError`.

        Calls *note* with what is done in each project, also if it raises in the end.

        A project or a view that cannot be made does not keep others from being made: its error is raised last. Only
        what has failed is tried again next time.
        """
        done: list[Refreshed] = []
        errors: list[ClickHouseError] = []
        for project_id, shape in self._store.shapes().items():
            before = self._shapes.get(project_id)
            if shape == before:
                continue
            try:
                of_project = self._refresh(project_id, shape, before)
            except ClickHouseError as error:
                errors.append(error)
                continue
            done.append(of_project)
            note(of_project)
            errors += of_project.failed.values()
            if of_project.failed.keys().isdisjoint(VIEWS):
                self._shapes[project_id] = _without(shape, of_project.failed)
        if errors:
            raise errors[0]
        return done

    def refresh_project(self, project_id: str, shape: _Shape) -> Refreshed:
        """Create and replace the views of *project_id*; raises `ClickHouseError` after the last one if one failed."""
        done = self._refresh(project_id, shape, None)
        for error in done.failed.values():
            raise error
        return done

    def _refresh(self, project_id: str, shape: _Shape, before: _Shape | None) -> Refreshed:
        """Create and replace the views whose lines differ between two states of the catalogue."""
        database = database_name(self._store.base, project_id)
        done = Refreshed(database)
        existing = self._store.views(database)
        if not existing:
            self._store.create_database(database)
        types, listing = self._store.types(project_id), _Listing(self._store)
        for views in _wanted(self._store, project_id, types, shape, before):
            found = [(view, existing.get(view.name)) for view in views]
            done.foreign.extend(view.name for view, comment in found if comment is not None and not is_ours(comment))
            different = [view for view, comment in found if view.name not in done.foreign and comment != view.version]
            self._keep_types(project_id, different, types)
            for view in different:
                try:
                    self._store.create_view(view.statement(database, listing.columns(view)))
                except ClickHouseError as error:
                    if error.code is None:
                        raise
                    done.failed[view.name] = refused = RefusedViewError(f"{database}.{view.name}", error)
                    if len(done.failed) >= MAX_FAILED:
                        raise refused from error
                else:
                    done.made.append(view.name)
        return done

    def _keep_types(self, project_id: str, views: Iterable[View], types: Types) -> None:
        new: dict[str, dict[str, str]] = {}
        for view in views:
            kept = types.chosen.get(typed_by(view.name), {})
            for each in view.columns:
                if not each.declared and kept.get(each.name) != each.type:
                    new.setdefault(typed_by(view.name), {})[each.name] = each.type
        if new:
            self._store.set_types(project_id, new, declared=False)


class _Listing:
    """Lists the columns of views of one project, and asks ClickHouse once for those that views share."""

    def __init__(self, store: ViewStore) -> None:
        self._store = store
        self._fields: dict[str, Sequence[tuple[str, str]]] = {}

    def columns(self, view: View) -> list[tuple[str, str]]:
        """Return name and type of each column of *view*, those of properties and traits before those of the context."""
        if view.fields not in self._fields:
            self._fields[view.fields] = self._store.columns(view.fields)
        fields = self._fields[view.fields]
        end = next((at for at, (name, _) in enumerate(fields) if name in _AFTER_COLUMNS), len(fields))
        return [*fields[:end], *((each.name, clickhouse_type(each.type)) for each in view.columns), *fields[end:]]


def _view(
    name: str,
    select: str,
    columns: Sequence[Column] = (),
    fields: str = "",
    own_comments: Mapping[str, str] = MappingProxyType({}),
) -> View:
    """Return a view of *select*, which has *columns* beside those of the SELECT *fields*, empty for *select* itself.

    *own_comments* are those of columns that only this view has.
    """
    typed = {each.name: comments.of_column(each, name) for each in columns}
    said = {**comments.of_fields(name), **own_comments, **typed}
    version = f"{statements.version(select, said)}. {comments.of_view(name)}"
    return View(name, select, columns, fields or select, said, version)


def _wanted(
    store: ViewStore, project_id: str, types: Types, shape: _Shape, before: _Shape | None
) -> Iterator[list[View]]:
    """Yield the views that may have changed: those that every project has, then some of those of events at a time."""
    changed = {key for key, value in shape.items() if before is None or before.get(key) != value}
    if before is None:
        yield [
            _view(TRACKS, statements.tracks_view(store.base, project_id)),
            _view(PERSON_HISTORY, statements.person_history_view(store.base, project_id)),
        ]
    if before is None or any(kind == TRAIT for kind, _ in changed):
        yield list(_views_of_traits(store, project_id, types))
    left = _changed_views(shape, changed)
    while some := list(islice(left, VIEWS_AT_ONCE)):
        yield list(_views_of_events(store, project_id, types, some))


def _views_of_events(
    store: ViewStore, project_id: str, types: Types, some: Sequence[tuple[str, Sequence[str]]]
) -> Iterator[View]:
    """Yield the views *some*, by name and with their events."""
    # The same for all events, so that it is asked for once.
    fields = statements.event_view(store.base, project_id, "", [""], ())
    seen = store.seen(project_id, EVENT, [event for _, events in some for event in events])
    for name, events in some:
        typed = columns(
            (line for event in events for line in seen.get(event, ())),
            reserved=statements.EVENT_COLUMNS, prefix="property", **types.of(typed_by(name)),
        )  # fmt: skip
        yield _view(name, statements.event_view(store.base, project_id, name, events, typed), typed, fields)


def _views_of_traits(store: ViewStore, project_id: str, types: Types) -> Iterator[View]:
    seen, of_traits = store.seen(project_id, TRAIT, [""]).get("", []), types.of(USERS)
    typed = columns(seen, reserved=statements.IDENTIFY_COLUMNS, prefix="trait", **of_traits)
    fields = statements.identifies_view(store.base, project_id, ())
    yield _view(IDENTIFIES, statements.identifies_view(store.base, project_id, typed), typed, fields)
    typed = columns(seen, reserved=statements.USER_COLUMNS, prefix="trait", **of_traits)
    fields = statements.users_view(store.base, project_id, ())
    yield _view(USERS, statements.users_view(store.base, project_id, typed), typed, fields)
    if traits := _traits_of_events(typed, types.declared.get(EVENTS_WITH_PERSON, {})):
        select = events_with_person(store.base, project_id, traits)
        yield _view(EVENTS_WITH_PERSON, select, own_comments=comments.of_traits(traits))


def _traits_of_events(users: Iterable[Column], declared: Mapping[str, str]) -> list[Column]:
    """Return the columns that are declared for `events_with_person`, of those of *users*: a path is known there."""
    return [
        Column(column.name, declared[column.name], [path], declared=True)
        for column in users
        # The history has traits of the first level.
        if column.name in declared and (path := column.paths[0]).count(".") == 0
    ]


def _without(shape: _Shape, views: Container[str]) -> _Shape:
    """Return *shape* without the events of *views*, so that they count as changed."""
    return {key: value for key, value in shape.items() if key[0] != EVENT or view_name(key[1]) not in views}


def _changed_views(shape: _Shape, changed: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each view that has an event of *changed*, with all events of the catalogue that it shows."""
    events = {event for kind, event in changed if kind == EVENT}
    for name, of_view in views_of(event for kind, event in shape if kind == EVENT).items():
        if not events.isdisjoint(of_view):
            yield name, of_view
