"""The tables: numbered DDL in this folder, and the columns that rows are written to.

`_partition` and `_origin` say which record a row came from, and so how far a table is filled. The projection
`positions` keeps that answer small: without it `max(_origin)` would read two columns of every row there is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table that the sink writes to: its columns with their types, in the order of the rows' fields."""

    name: str
    columns: tuple[tuple[str, str], ...]


_TIME = "DateTime64(6, 'UTC')"
_ITEM = (
    ("project_id", "String"),
    ("message_id", "String"),
    ("user_id", "String"),
    ("timestamp", _TIME),
    ("received_at", _TIME),
    ("original_timestamp", f"Nullable({_TIME})"),
    ("sent_at", f"Nullable({_TIME})"),
    ("anonymous_id", "Nullable(String)"),
    ("context", "String"),
    ("integrations", "String"),
    ("_partition", "UInt32"),
    ("_origin", "UInt64"),
)

EVENTS = Table("events", (*_ITEM, ("event", "String"), ("properties", "JSON")))
IDENTIFIES = Table("identifies", (*_ITEM, ("traits", "JSON")))
PERSONS = Table(
    "person_states",
    (
        ("project_id", "String"),
        ("user_id", "String"),
        ("traits", "JSON"),
        ("first_seen", _TIME),
        ("last_seen", _TIME),
        ("_partition", "UInt32"),
        ("_origin", "UInt64"),
    ),
)
TABLES = (EVENTS, IDENTIFIES, PERSONS)
