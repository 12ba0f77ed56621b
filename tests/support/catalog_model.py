"""What the catalogue must have for some rows: a model in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Entry = tuple[str, str, str, str]
"""Project, event, path and type; an empty type is the event itself."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `events`."""

    partition: int
    offset: int
    event: str
    properties: Mapping[str, Any]
    project: str = "p"
    log: int = 1


def entries(row: Row) -> Iterator[Entry]:
    """Yield what *row* adds one to."""
    yield row.project, row.event, "", ""
    for path, kind in paths(row.properties):
        yield row.project, row.event, path, kind


def expected(rows: Iterable[Row]) -> Counter[Entry]:
    """Return the catalogue of *rows* without a limit."""
    return Counter(entry for row in rows for entry in entries(row))


def paths(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the type of each value that is no object."""
    for name, member in value.items():
        path = prefix + name.replace(".", "%2E")
        if isinstance(member, dict):
            yield from paths(member, f"{path}.")
        else:
            yield path, type_of(member)


def type_of(value: Any) -> str:
    """Return the word for the type of *value*, which is no object."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "array of objects" if value and all(isinstance(element, dict) for element in value) else "array"
    words = {bool: "boolean", int: "integer", float: "float", str: "text"}
    return words[type(value)]
