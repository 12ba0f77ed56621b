"""The comments of views and their columns, which `DESCRIBE` and BI tools show. Pure.

A comment says which values a column has, where they were sent, and what NULL means. It has no number of values: a view
is replaced when a comment changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from processors.typed_views.columns import BOOLEAN, FLOAT, INTEGER, TEXT, Column
from processors.typed_views.naming import EVENTS_WITH_PERSON, IDENTIFIES, PERSON_HISTORY, TRACKS, USERS
from processors.typed_views.statements import CONTEXT
from schemas.clickhouse.quoting import quoted

MAX_PATHS = 5
"""Paths of a column that its comment names."""
MAX_CHARACTERS = 600
"""Of a comment: paths beyond it are left out, and the only path is cut."""
MAX_REPEATED = 100
"""Characters of a path that a comment has twice."""

_ARRAYS = frozenset({"array", "array of objects"})
_NUMBERS = frozenset({INTEGER, FLOAT})
_WORD = re.compile(r"[^\W\d]\w*")
_DOT = re.compile("%2E", re.IGNORECASE)
_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "id": "messageId, unique in the project",
        "received_at": "Time at which the gateway received the item",
        "original_timestamp": "timestamp as the producer sent it, by the producer's clock. NULL if it was not sent",
        "sent_at": "sentAt: time at which the producer sent the item, by the producer's clock. NULL if it was not sent",
        "timestamp": "Time of the event or identify, after clock correction. The time to analyse by",
        "user_id": "userId",
        "anonymous_id": "anonymousId. NULL if it was not sent",
        "event_text": "Name of the event as sent, such as Order Completed",
        **{name: f"context.{'.'.join(path)}, as text. NULL if it was not sent" for name, path in CONTEXT.items()},
        "context": "The whole context, as JSON text",
        "properties": "All properties, as JSON: properties.name reads one, by its name as sent. A dot in it is %2E",
        "properties_null_keys": "Paths of the properties that were sent as null. A dot in a name is %2E",
        "traits": "All traits of this identify, as JSON: traits.name reads one, by its name as sent. A dot is %2E",
        "traits_null_keys": "Paths of the traits that were sent as null, which removes a trait. A dot in a name is %2E",
    }
)
_OF_VIEWS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        USERS: {
            "id": "userId. Joins user_id of the other views",
            "first_seen": "Time of the first identify of the user",
            "last_seen": "Time of the latest identify of the user; of the latest event: max(timestamp) of tracks",
            "traits": "All traits as of now, as JSON: traits.name reads one, by its name as sent. A dot in it is %2E",
        },
        PERSON_HISTORY: {
            "trait": "Name of the trait as sent; of an object, the name of the whole object",
            "value": "Value of the trait, as text: num(value) reads a number",
            "valid_from": "Time from which the value applies",
            "valid_to": "Time at which another value or a removal followed. NULL if the value applies now",
        },
    }
)
_ROWS: Mapping[str, str] = MappingProxyType(
    {
        TRACKS: "A row for each event of any name. The view of an event has its properties as columns",
        IDENTIFIES: "A row for each identify, with the traits that it sent. users has the traits as of now",
        USERS: "A row for each identified user, with the traits as of now. id joins user_id of the other views",
        PERSON_HISTORY: "A row for each value that a trait of a user had, from valid_from to before valid_to. A removal"
        " has no row, it ends the last one: count(valid_to) counts the changes of a trait",
        EVENTS_WITH_PERSON: "A row for each event of any name, with traits of its user at the time of the event",
    }
)
_NULL: Mapping[str, Sequence[str]] = MappingProxyType(
    {IDENTIFIES: ["it was not sent", "was removed"], USERS: ["the user does not have it"]}
)
_KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        INTEGER: ("Integer", "is no integer of 64 bits"),
        FLOAT: ("Number", "is no number"),
        BOOLEAN: ("Boolean", "is no boolean"),
        TEXT: ("Text", ""),
        "date": ("Date", "is no date in ISO 8601"),
        "time": ("Time in UTC", "is no time in ISO 8601 or since 1970"),
    }
)


def of_fields(view: str) -> dict[str, str]:
    """Return the comment of each column of *view* that is there whatever was sent, by name."""
    if view in {TRACKS, EVENTS_WITH_PERSON}:
        event = "Name of the view of the event, such as order_completed: the same for all spellings of the event"
    else:
        event = f"{view}, the name of the view, in every row. event_text has the name as sent"
    return {**_FIELDS, "event": event, **_OF_VIEWS.get(view, {})}


def of_view(view: str) -> str:
    """Return what the rows of *view* are."""
    return _ROWS.get(view, "A row for each event, in every spelling of its name. user_id joins id of users")


def of_column(column: Column, view: str) -> str:
    """Return the comment of a column of *view* for a property, or for a trait in `identifies` and `users`."""
    json = "traits" if view in {IDENTIFIES, USERS} else "properties"
    parts = [_typed(column, _NULL.get(view, ["it was not sent"]))]
    families = {"number" if each in _NUMBERS else "array" if each in _ARRAYS else each for each in column.kinds}
    if len(families) > 1:
        parts.append(f"Values were sent as {_listed(sorted(families))}.")
    if "text" in families and (column.type in _NUMBERS or column.type.startswith("decimal")):
        read = _read(json, column.paths[0])
        where = f": str({read}) has it" if len(read) <= MAX_REPEATED else f", and {json} has it"
        parts.append(f"Text that is no number, such as '12,50', is NULL here{where}.")
    name = column.name if _WORD.fullmatch(column.name) else quoted(column.name)
    if column.name.endswith("_id") and column.type in {INTEGER, FLOAT, TEXT}:
        # Producers send IDs as numbers and as text, and each view chooses by itself.
        parts.append(f"In a join write str({name}), because other views may have another type.")
    if column.kinds & _ARRAYS:
        parts.append(f"Elements: ARRAY JOIN JSONExtract(ifNull({name}, ''), 'Array(String)') AS element.")
    text = " ".join(parts)
    return f"{_sent_as(json, column.paths, MAX_CHARACTERS - len(text) - 1)} {text}"


def of_traits(traits: Iterable[Column]) -> dict[str, str]:
    """Return the comments of the columns of `events_with_person` for *traits*, by name."""
    return {f"person_{each.name}": _of_trait(each) for each in traits}


def _of_trait(trait: Column) -> str:
    text = f" of the user at the time of the event. {_typed(trait, ['the user did not have it then'])}"
    return f"{_cut(_path('traits', trait.paths[0]), MAX_CHARACTERS - len(text))}{text}"


def _typed(column: Column, null: Sequence[str]) -> str:
    """Return the type of *column*, and what NULL means beside a value of another type."""
    kind, other = _kind(column)
    return f"{kind}. NULL where {_listed([*null, *([other] if other else [])], 'or')}."


def _sent_as(json: str, paths: Sequence[str], characters: int) -> str:
    """Return *paths* as a query reads them, as many as *characters* have room for."""
    for count in range(min(MAX_PATHS, len(paths)), 0, -1):
        more = len(paths) - count
        spellings = [f"{more} other {'spelling' if more == 1 else 'spellings'}"] if more else []
        text = f"{_listed([*(_path(json, path) for path in paths[:count]), *spellings])}."
        if len(text) <= characters:
            return text
    return f"{_cut(_path(json, paths[0]), characters - 1)}."


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _path(json: str, path: str) -> str:
    """Return *path* as a query reads it, and a name with a dot as it was sent as well."""
    dotted = [_DOT.sub(".", part) for part in path.split(".") if _DOT.search(part)]
    return f"{_read(json, path)} (sent as {', '.join(dotted)})" if dotted else _read(json, path)


def _read(json: str, path: str) -> str:
    return ".".join([json, *(part if _WORD.fullmatch(part) else f'"{part}"' for part in path.split("."))])


def _kind(column: Column) -> tuple[str, str]:
    """Return what the values of *column* are, and of which others NULL takes the place."""
    if column.type.startswith("decimal"):
        return column.type.capitalize(), "is no number"
    if column.type == TEXT and column.kinds & _ARRAYS:
        return "JSON text of an array" if column.kinds <= _ARRAYS else "Text, of an array its JSON", ""
    return _KINDS[column.type]


def _listed(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
