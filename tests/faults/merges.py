"""Merges of the tables of a stack under test: they could hide surplus rows from the checks, so that it runs without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

TABLES = ("events", "identifies", "person_states", "duplicates", "rejected")
IDENTITY = dict.fromkeys(TABLES, "_partition, _origin") | dict.fromkeys(("events", "identifies"), "message_id")
"""What only one row of a table may have."""
_NO_MERGES = (
    "max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1, "
    "parts_to_delay_insert = 100000, parts_to_throw_insert = 100000"
)
"""Parts are too large to be merged. There can be many of them."""


class Queried(Protocol):
    """What is asked of a stack."""

    @property
    def query(self) -> Callable[[str], list[dict[str, Any]]]:
        """Return the rows of a statement."""


def stop(stack: Queried) -> None:
    """Stop merges, which could hide surplus rows from the checks, for as long as the tables exist.

    `SYSTEM STOP MERGES` ends with the server and stops mutations as well.
    """
    for table in TABLES:
        stack.query(f"ALTER TABLE {table} MODIFY SETTING {_NO_MERGES}")


def allow(stack: Queried) -> None:
    """Let parts be merged as in a deployment. Merges may hide surplus rows from the checks."""
    names = ", ".join(setting.partition(" = ")[0].strip() for setting in _NO_MERGES.split(", "))
    for table in TABLES:
        stack.query(f"ALTER TABLE {table} RESET SETTING {names}")


def merge(stack: Queried) -> None:
    """Merge the parts of each table without surplus rows: a deletion in hundreds of small parts takes minutes."""
    for table in TABLES:
        counts = f"count() AS rows, uniqExact({IDENTITY[table]}) AS unique"
        counted = stack.query(f"SELECT {counts} FROM {table}")[0]  # noqa: S608  # our own tables
        if counted["rows"] == counted["unique"]:
            stack.query(f"OPTIMIZE TABLE {table} FINAL")
