"""Names of databases, views and columns, as Segment's warehouses have them: snake case. Pure.

Events whose names are the same in snake case have one view, and properties one column. `Order Completed` and
`orderCompleted` are both `order_completed`, and the column `event_text` tells them apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

TRACKS, IDENTIFIES, USERS = "tracks", "identifies", "users"
EVENTS_WITH_PERSON, PERSON_HISTORY = "events_with_person", "person_history"
VIEWS = (TRACKS, IDENTIFIES, USERS, EVENTS_WITH_PERSON, PERSON_HISTORY)
"""Views that no event gives its name to."""
MAX_FILE_CHARACTERS = 180
"""Longest name of a view as ClickHouse writes it into a file name, where most characters but ASCII take nine."""
MAX_COLUMN_CHARACTERS = 128
HASH_CHARACTERS = 8
"""Digits of a hash in a name."""

_WORD_ENDS = (re.compile("([a-z0-9])([A-Z])"), re.compile("([A-Z])([A-Z][a-z])"))
_SEPARATORS = re.compile(r"[\W_]+")
_PLAIN = re.compile(r"[a-z0-9_]+")
_ESCAPED_DOT = re.compile("%2E", re.IGNORECASE)


def snake_case(name: str) -> str:
    """Return *name* in snake case; empty if it has no letter and no digit.

    Letters of all alphabets stay. A name that begins with a digit gets `_` in front of it.
    """
    for end in _WORD_ENDS:
        name = end.sub(r"\1_\2", name)
    words = _SEPARATORS.sub("_", name).strip("_").lower()
    return f"_{words}" if "0" <= words[:1] <= "9" else words


def database_name(base: str, project_id: str) -> str:
    """Return the database of the views of *project_id*, beside the database *base* of the tables.

    Different projects have different databases: an ID that is not in snake case is followed by a part of its hash.
    """
    if _PLAIN.fullmatch(project_id):
        return f"{base}_{project_id}"
    return f"{base}_{snake_case(project_id)}_{_hash(project_id)}"


def view_name(event: str) -> str:
    """Return the view of *event*. A name that every project has is preceded by `event_`."""
    name = snake_case(event) or f"event_{_hash(event)}"
    return _shortened(f"event_{name}" if name in VIEWS else name, MAX_FILE_CHARACTERS)


def typed_by(view: str) -> str:
    """Return the name under which the types of *view* are stored: identifies and users have those of the traits.

    An event `Person History` had the view `person_history` before every project had one of this name, and shares
    `event_person_history` with an event `Event Person History` now.
    """
    return {IDENTIFIES: USERS, f"event_{PERSON_HISTORY}": PERSON_HISTORY}.get(view, view)


def column_name(path: str, reserved: Iterable[str], prefix: str) -> str:
    """Return the column of the property at *path*, as ClickHouse writes it: a dot within a name is `%2E`.

    A name of *reserved* is preceded by *prefix* and `_`.
    """
    name = snake_case(_ESCAPED_DOT.sub(".", path)) or f"{prefix}_{_hash(path)}"
    return _shortened(f"{prefix}_{name}" if name in reserved else name, MAX_COLUMN_CHARACTERS)


def views_of(events: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return the *events* of each view, sorted."""
    views: defaultdict[str, list[str]] = defaultdict(list)
    for event in sorted(set(events)):
        views[view_name(event)].append(event)
    return views


def _shortened(name: str, limit: int) -> str:
    """Return *name*, or its beginning and a part of its hash if it would take more than *limit* characters."""
    if _characters(name) <= limit:
        return name
    beginning, left = "", limit - HASH_CHARACTERS - 1
    for character in name:
        left -= _characters(character)
        if left < 0:
            break
        beginning += character
    return f"{beginning}_{_hash(name)}"


def _characters(text: str) -> int:
    """Return the characters of *text* in a file name: ClickHouse writes each byte that is no ASCII word as `%xx`."""
    return sum(1 if character.isascii() else 3 * len(character.encode()) for character in text)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]
