"""The statements of views. Pure.

A path of JSON is read as the subcolumn of its type where that is all that the column has, since ClickHouse reads it
without looking at the type of each row. Other columns use the functions `num`, `str`, `bool` and `at`, whose bodies
ClickHouse copies into the view.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType

from processors.typed_views.columns import BOOLEAN, FLOAT, INFERRED, INTEGER, TEXT, Column
from processors.typed_views.naming import HASH_CHARACTERS, VIEWS
from schemas.clickhouse.quoting import literal, quoted

MARK = "Made by Sequence events from the catalogue. Version "
"""Beginning of the comment of every view. A view without it belongs to somebody else and stays as it is."""

_AS_DEFINER = "DEFINER = CURRENT_USER SQL SECURITY DEFINER"

CONTEXT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "context_ip": ("ip",),
        "context_locale": ("locale",),
        "context_timezone": ("timezone",),
        "context_user_agent": ("userAgent",),
        **{f"context_page_{name}": ("page", name) for name in ("url", "path", "referrer", "search", "title")},
        **{f"context_campaign_{name}": ("campaign", name) for name in ("name", "source", "medium", "term", "content")},
        **{f"context_library_{name}": ("library", name) for name in ("name", "version")},
        **{f"context_app_{name}": ("app", name) for name in ("name", "version", "build")},
        **{f"context_device_{name}": ("device", name) for name in ("id", "manufacturer", "model", "type")},
        **{f"context_os_{name}": ("os", name) for name in ("name", "version")},
    }
)
"""Fields of Segment's common `context`, each as text: by column, the path of its value."""
_ITEM = ("id", "received_at", "original_timestamp", "sent_at", "timestamp", "user_id", "anonymous_id")
EVENT_COLUMNS = (*_ITEM, "event", "event_text", *CONTEXT, "context", "properties", "properties_null_keys")
"""Columns of every view of an event that are no properties."""
IDENTIFY_COLUMNS = (*_ITEM, *CONTEXT, "context", "traits", "traits_null_keys")
USER_COLUMNS = ("id", "first_seen", "last_seen", "traits")
HISTORY_COLUMNS = ("user_id", "trait", "value", "valid_from", "valid_to")


def event_view(base: str, project_id: str, name: str, events: Sequence[str], columns: Iterable[Column]) -> str:
    """Return the SELECT of the view *name* of *events*."""
    which = ", ".join(map(literal, events))
    named = [*_item(), f"{literal(name)} AS event", "e.event AS event_text"]
    return _select(
        [*named, *(_typed("e.properties", column) for column in columns), *_context(), *_json("properties")],
        f"{quoted(base)}.events AS e WHERE e.project_id = {literal(project_id)} AND e.event IN ({which})",
    )


def tracks_view(base: str, project_id: str) -> str:
    """Return the SELECT of the view of all events."""
    return _select(track_columns(), f"{quoted(base)}.events AS e WHERE e.project_id = {literal(project_id)}")


def track_columns() -> list[str]:
    """Return the expressions of the columns of `tracks`, over the table `events` with the alias `e`."""
    named = [*_item(), f"{view_of('e.event')} AS event", "e.event AS event_text"]
    return [*named, *_context(), *_json("properties")]


def identifies_view(base: str, project_id: str, columns: Iterable[Column]) -> str:
    """Return the SELECT of the view of all identifies."""
    return _select(
        [*_item(), *(_typed("e.traits", column) for column in columns), *_context(), *_json("traits")],
        f"{quoted(base)}.identifies AS e WHERE e.project_id = {literal(project_id)}",
    )


def users_view(base: str, project_id: str, columns: Iterable[Column]) -> str:
    """Return the SELECT of the view of all persons as they are now."""
    return _select(
        [
            *("e.user_id AS id", "e.first_seen AS first_seen", "e.last_seen AS last_seen"),
            *(_typed("e.traits", column) for column in columns),
            "e.traits AS traits",
        ],
        f"{quoted(base)}.person_states AS e FINAL WHERE e.project_id = {literal(project_id)}",
    )


def person_history_view(base: str, project_id: str) -> str:
    """Return the SELECT of the view of the values that the traits of persons had."""
    return _select(
        [f"h.{name} AS {name}" for name in HISTORY_COLUMNS],
        f"{quoted(base)}.person_history AS h WHERE h.project_id = {literal(project_id)}",
    )


def create_view(database: str, name: str, select: str, version: str, listed: Iterable[tuple[str, str, str]]) -> str:
    """Return the statement that creates or replaces a view of *select* with the comment *version*.

    *listed* has name, type and comment of each column. With another type than the one that *select* gives, ClickHouse
    converts each value. The view reads the tables with the rights of the user who makes it: a login of a project needs
    no others than those on the view.
    """
    columns = ", ".join(f"{quoted(column)} {kind} COMMENT {literal(comment)}" for column, kind, comment in listed)
    view = f"{quoted(database)}.{quoted(name)}"
    return f"CREATE OR REPLACE VIEW {view} ({columns}) {_AS_DEFINER} AS {select} COMMENT {literal(version)}"


def version(select: str, comments: Mapping[str, str]) -> str:
    """Return the comment of a view of *select*. It differs if *select* or the *comments* of the columns do."""
    definition = "\n".join([_AS_DEFINER, select, *(f"{name} {comments[name]}" for name in sorted(comments))])
    return MARK + sha256(definition.encode()).hexdigest()[:16]


def _select(expressions: Iterable[str], source: str) -> str:
    return f"SELECT {', '.join(expressions)} FROM {source}"  # noqa: S608  # each name is quoted


def _item() -> list[str]:
    return ["e.message_id AS id", *(f"e.{name} AS {name}" for name in _ITEM[1:])]


def _context() -> list[str]:
    fields = [
        f"nullIf(JSONExtractString(e.context, {', '.join(map(literal, path))}), '') AS {name}"
        for name, path in CONTEXT.items()
    ]
    return [*fields, "e.context AS context"]


def _json(name: str) -> list[str]:
    return [f"e.{name} AS {name}", f"e.{name}_null_keys AS {name}_null_keys"]


def view_of(event: str) -> str:
    """Return the expression for `naming.view_name` of the expression *event*, but for names that are shortened."""
    name = _snake_case(event)
    digits = f"left(lower(hex(SHA256({event}))), {HASH_CHARACTERS})"
    names = ", ".join(map(literal, ["", *VIEWS]))
    return f"if({name} IN ({names}), concat('event_', if({name} = '', {digits}, {name})), {name})"


def _snake_case(column: str) -> str:
    """Return the expression for `naming.snake_case` of *column*."""
    words = f"replaceRegexpAll({column}, '([a-z0-9])([A-Z])', '\\\\1_\\\\2')"
    words = f"replaceRegexpAll({words}, '([A-Z])([A-Z][a-z])', '\\\\1_\\\\2')"
    words = f"lowerUTF8(trim(BOTH '_' FROM replaceRegexpAll({words}, '[^\\\\pL\\\\pN]+', '_')))"
    return f"replaceRegexpOne({words}, '^([0-9])', '_\\\\1')"


def _typed(json: str, column: Column) -> str:
    values = [_value(f"{json}.{_path(path)}", column) for path in column.paths]
    value = values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"
    return f"{value} AS {quoted(column.name)}"


def _path(path: str) -> str:
    return ".".join(map(quoted, path.split(".")))


def _value(path: str, column: Column) -> str:
    """Return the expression for the value at *path*; NULL where it is not of the column's type."""
    if column.type not in INFERRED:
        return declared_value(path, column.type)
    if column.type == TEXT:
        return _text(path, column.kinds)
    reads_text = column.declared or TEXT in column.kinds
    return (_WITH_TEXT if reads_text else _WITHOUT_TEXT)[column.type].format(path)


_WITHOUT_TEXT = {
    INTEGER: "{0}.:Int64",
    FLOAT: "coalesce({0}.:Float64, toFloat64({0}.:Int64))",
    BOOLEAN: "{0}.:Bool",
}
_WITH_TEXT = {
    INTEGER: "coalesce({0}.:Int64, toInt64OrNull({0}.:String))",
    FLOAT: "num({0})",
    BOOLEAN: "bool({0})",
}
"""The same types where some values are text: text that says a number or a boolean counts as well."""
_DECLARED = {"time": "at({0})", "date": "toDate32(at({0}))"}


def declared_value(value: str, kind: str) -> str:
    """Return the expression for the expression *value* as one of the types that are only declared."""
    if kind.startswith("decimal"):
        return f"accurateCastOrNull(str({value}), '{kind.title()}')"
    return _DECLARED[kind].format(value)


def _text(path: str, kinds: frozenset[str]) -> str:
    """Return the expression for text. `str` writes an array as JSON, but ClickHouse needs longest to read it."""
    if kinds <= {TEXT}:
        return f"{path}.:String"
    return f"CAST({path}, 'Nullable(String)')" if kinds <= {TEXT, INTEGER, FLOAT, BOOLEAN} else f"str({path})"
