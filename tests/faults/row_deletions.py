"""Rows that an operator deletes, and the model of what the tables must have afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tests.faults.ledger import Ledger, SourceOffset
from tests.faults.stack import Stack
from tests.support.services import eventually

KINDS = {
    "DELETE": "DELETE FROM {table} WHERE {where} SETTINGS lightweight_deletes_sync = 2",
    "ALTER DELETE": "ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 2",
}
Then = Literal["stay deleted", "come back", "may come back"]
"""What becomes of deleted rows. They stay deleted if the positions were noted before.

Without, they come back if they were the newest of their partition at the next assignment; others may, when the table is
filled again for another reason.
"""
DELETED_WITHIN_SECONDS = 300.0
"""A deletion rewrites some hundred small parts, beside the INSERTs of a loaded machine."""
ITEM_TABLES = ("events", "identifies")
SETTLED_READINGS = 3
"""Equal numbers of rows, a second apart, after which no INSERT is running."""


@dataclass(frozen=True, slots=True)
class Model:
    """What was deleted at one moment. Restoring a copy of ClickHouse restores this as well."""

    deleted: frozenset[SourceOffset]
    maybe_deleted: frozenset[SourceOffset]

    @classmethod
    def of(cls, ledger: Ledger) -> Model:
        """Return the present model."""
        return cls(frozenset(ledger.deleted), frozenset(ledger.maybe_deleted))

    def restore(self, ledger: Ledger) -> None:
        """Make this the present model: the deletions since are undone."""
        ledger.deleted, ledger.maybe_deleted = set(self.deleted), set(self.maybe_deleted)


@contextmanager
def stopped_sinks(stack: Stack) -> Iterator[None]:
    """Keep the sinks from running for the block, which begins when their last INSERTs have ended.

    ClickHouse finishes an INSERT after its sender was killed. Rows chosen before that would not be the newest.
    """
    with stack.held(*stack.services("sink")):
        counts: list[int] = []

        def settled() -> bool:
            counts.append(sum(len(rows_of(stack, table)) for table in ITEM_TABLES))
            return len(counts) > SETTLED_READINGS and len(set(counts[-SETTLED_READINGS:])) == 1

        eventually(settled, "the last INSERTs have ended", every_seconds=1.0)
        yield


def rows_of(stack: Stack, table: str, where: str = "1") -> set[SourceOffset]:
    """Return the source offsets of the rows of *table* that match *where*."""
    found = stack.query(f"SELECT _partition, _origin FROM {table} WHERE {where}")  # noqa: S608  # the test's own
    return {(int(str(row["_partition"])), int(str(row["_origin"]))) for row in found}


def delete(stack: Stack, ledger: Ledger, table: str, where: str, *, kind: str, then: Then) -> int:
    """Delete the rows of *table* that match *where*, which must be closed: rows that are written now do not match.

    Returns the number of rows.
    """
    if then == "stay deleted":
        keep_positions(stack)
    rows = rows_of(stack, table, where)
    if kind == "DROP PARTITION":
        weeks = stack.query(f"SELECT DISTINCT _partition_id AS week FROM {table}")  # noqa: S608  # the test's own
        for week in weeks:
            stack.query(f"ALTER TABLE {table} DROP PARTITION ID '{week['week']}'")
    else:
        stack.query(KINDS[kind].format(table=table, where=where), within_seconds=DELETED_WITHIN_SECONDS)
    gone = rows - rows_of(stack, table, where)
    if then == "stay deleted":
        ledger.deleted |= gone
    elif then == "may come back":
        ledger.maybe_deleted |= gone
    return len(gone)


def keep_positions(stack: Stack) -> None:
    """Note the positions of all tables with the product's command."""
    done = stack.command("positions", "keep")
    assert done.returncode == 0, done.stderr + done.stdout


def newest(stack: Stack, table: str, count: int) -> str:
    """Return the condition that matches the newest *count* rows of each partition, if there are any."""
    return _any_of(
        f"(_partition = {number} AND _origin BETWEEN {origins[-count:][0]} AND {origins[-1]})"
        for number, origins in _origins(stack, table).items()
    )


def oldest(stack: Stack, table: str, count: int) -> str:
    """Return the condition that matches the oldest *count* rows of each partition, if there are any."""
    return _any_of(
        f"(_partition = {number} AND _origin <= {origins[:count][-1]})"
        for number, origins in _origins(stack, table).items()
    )


def _any_of(conditions: Iterable[str]) -> str:
    return " OR ".join(conditions) or "0"


def _origins(stack: Stack, table: str) -> dict[int, list[int]]:
    """Return the source offsets of the rows of each partition, in their order."""
    found: dict[int, list[int]] = {}
    for partition, source_offset in sorted(rows_of(stack, table)):
        found.setdefault(partition, []).append(source_offset)
    return found
