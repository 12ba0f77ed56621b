"""Tables: the columns that the sink writes. The numbered DDL files are in this folder.

`_log`, `_partition` and `_origin`, the source offset, identify the record of a row: the item on `items.v1`, the state
on `persons.v1`, or the rejection on `rejected.v1`. Their maximum is how far a table is filled. The projection
`positions` stores it; without the projection, `max(_origin)` would read three columns of every row.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table that the sink writes: columns and types, in the order of the fields of `processors.sink.rows`."""

    name: str
    columns: tuple[tuple[str, str], ...]
    topic: str = "events.v1"
    """Topic whose records are the rows, without the prefix."""
    source: str = "items.v1"
    """Topic of the source offsets, without the prefix."""


_TIME = "DateTime64(6, 'UTC')"
_JSON = "JSON(max_dynamic_paths=8)"
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
    ("_warnings", "Array(Tuple(code String, field String, sent String))"),
    ("_token", "String"),
    ("_log", "UInt16"),
    ("_partition", "UInt32"),
    ("_origin", "UInt64"),
)

EVENTS = Table(
    "events", (*_ITEM, ("event", "String"), ("properties", _JSON), ("properties_null_keys", "Array(String)"))
)
IDENTIFIES = Table("identifies", (*_ITEM, ("traits", _JSON), ("traits_null_keys", "Array(String)")))
PERSONS = Table(
    "person_states",
    (
        ("project_id", "String"),
        ("user_id", "String"),
        ("traits", _JSON),
        ("traits_null_keys", "Array(String)"),
        ("first_seen", _TIME),
        ("last_seen", _TIME),
        ("_erased", "UInt64"),
        ("_log", "UInt16"),
        ("_partition", "UInt32"),
        ("_origin", "UInt64"),
    ),
    "persons.v1",
    "persons.v1",
)
DUPLICATES = Table(
    "duplicates",
    (
        ("project_id", "String"),
        ("message_id", "String"),
        ("type", "String"),
        ("event", "String"),
        ("user_id", "String"),
        ("received_at", _TIME),
        ("first_origin", "UInt64"),
        ("same_content", "Nullable(Bool)"),
        ("content", "String"),
        ("_token", "String"),
        ("_log", "UInt16"),
        ("_partition", "UInt32"),
        ("_origin", "UInt64"),
    ),
    "duplicates.v1",
)
REJECTED = Table(
    "rejected",
    (
        ("project_id", "String"),
        ("stage", "String"),
        ("code", "String"),
        ("field", "String"),
        ("value", "String"),
        ("message", "String"),
        ("message_id", "String"),
        ("type", "String"),
        ("event", "String"),
        ("user_id", "String"),
        ("received_at", _TIME),
        ("rejected_at", _TIME),
        ("request_id", "String"),
        ("table_name", "String"),
        ("content", "String"),
        ("is_base64", "Bool"),
        ("is_truncated", "Bool"),
        ("source_topic", "String"),
        ("source_partition", "UInt32"),
        ("source_offset", "UInt64"),
        ("_token", "String"),
        ("_log", "UInt16"),
        ("_partition", "UInt32"),
        ("_origin", "UInt64"),
    ),
    "rejected.v1",
    "rejected.v1",
)
TABLES = (EVENTS, IDENTIFIES, PERSONS, DUPLICATES, REJECTED)
