"""Null keys: the paths that were sent as `null`, because ClickHouse's type JSON stores no nulls in objects. Pure.

A path is what a query names after the column: `plan`, `address.zip`, `utm%2Esource` for the name `utm.source`, and
`items[].sku` for a member of the objects in an array. `list[]` is an array with a null among its elements: it is stored
as null, but as an empty array or object where other values of the path are arrays of arrays or of objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

SIZE_FACTOR = 8
"""The paths of a value have at most this times its bytes: a path repeats every name above it, so a long name above
thousands of nulls would otherwise take gigabytes. Paths beyond it are left out, the innermost first."""

_NULL = b"null"
_decode = msgspec.json.Decoder().decode

_Place = tuple["_Place | None", str]
"""The place of a container, and the part of the path that it adds."""


def null_keys(value: Raw) -> Sequence[str]:
    """Return the paths of the nulls in *value*, the JSON text of an object, each once."""
    # Most values have no null, and this search takes a tenth of a microsecond.
    text = bytes(value)
    return _paths([(None, text)], SIZE_FACTOR * len(text)) if _NULL in text else ()


def null_keys_of_members(members: Mapping[str, Raw]) -> Sequence[str]:
    """Return the paths of the nulls inside *members*, the JSON texts of an object's members by name, each once."""
    texts: list[tuple[_Place | None, bytes]] = [
        ((None, _part(name)), text) for name, value in members.items() if _NULL in (text := bytes(value))
    ]
    return _paths(texts, SIZE_FACTOR * sum(len(text) for _, text in texts)) if texts else ()


def _paths(texts: Iterable[tuple[_Place | None, bytes]], budget: int) -> Sequence[str]:
    """Return the paths of the nulls in *texts* at their places, with at most *budget* characters."""
    found: dict[str, None] = {}
    for path in _walk([(place, content) for place, text in texts if (content := _parsed(text)) is not None]):
        budget -= len(path)
        if budget < 0:
            break
        found[path] = None
    return tuple(found)


def _walk(containers: list[tuple[_Place | None, Any]]) -> Iterator[str]:
    """Yield the path of each null in *containers*, level by level."""
    for place, container in containers:
        if type(container) is dict:
            prefix: str | None = None
            for name, member in container.items():
                if member is None:
                    if prefix is None:
                        prefix = _path(place)
                    # The path begins at the column, without the dot.
                    yield f"{prefix}{_part(name)}"[1:]
                elif type(member) is dict or type(member) is list:
                    containers.append(((place, _part(name)), member))
        elif type(container) is list:
            inside = (place, "[]")
            if any(element is None for element in container):
                yield _path(inside)[1:]
            containers += [(inside, element) for element in container if type(element) is dict or type(element) is list]


def _parsed(text: bytes) -> Any:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The INSERT decides what becomes of such a row.
        return None


def _path(place: _Place | None) -> str:
    parts = []
    while place is not None:
        place, part = place
        parts.append(part)
    return "".join(reversed(parts))


def _part(name: str) -> str:
    return "." + name.replace(".", "%2E")
