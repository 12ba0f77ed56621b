"""Mutants of the sink: what it does about errors of ClickHouse, and which positions it reads.

See `tests.faults.mutants`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from processors.clickhouse.client import ANSWER_SECONDS
from processors.retention.store import RetentionStore
from processors.sink import attempts, insert
from processors.sink.attempts import Evidence, Step
from processors.sink.insert import ClickHouseSink
from processors.sink.lease import ServerLease
from processors.sink.rows import Block
from processors.sink.writer import TableWriter
from schemas.clickhouse import Table

Patch = Callable[[object, str, Any], None]
VIEW_ERRORS = "materialized_views_ignore_errors"


def positions_after_errors(patch: Patch) -> None:
    """Send a block again after an error without asking the table."""

    async def missing(self: TableWriter, block: Block) -> Sequence[Block]:
        del self
        return [block]

    patch(TableWriter, "missing", missing)


def view_errors_ignored(patch: Patch) -> None:
    """Let a view that throws fail the INSERT."""
    settings = {name: value for name, value in insert._SETTINGS.items() if name != VIEW_ERRORS}
    if len(settings) == len(insert._SETTINGS):
        raise AttributeError(VIEW_ERRORS)
    patch(insert, "_SETTINGS", settings)


def halving(patch: Patch) -> None:
    """Send a block that fails repeatedly again and again, whole."""
    original = attempts.next_step

    def wait(evidence: Evidence) -> Step:
        return original(evidence) if evidence.unparsable else Step.WAIT

    patch(attempts, "next_step", wait)


def noted_positions(patch: Patch) -> None:
    """Take the highest source offset of the rows for the position, whatever was noted."""

    def of_rows(self: ClickHouseSink, table: Table, log: int, partitions: Iterable[int]) -> dict[int, int]:
        rows = self._clickhouse.query(
            f"SELECT _partition, max(_origin) AS position FROM {table.name} WHERE _log = {{log:UInt16}}"  # noqa: S608
            " AND has({partitions:Array(UInt32)}, _partition) GROUP BY _partition",
            {"log": log, "partitions": sorted(partitions)},
        )
        return {int(row["_partition"]): int(row["position"]) for row in rows}

    patch(ClickHouseSink, "positions", of_rows)


def server_lease(patch: Patch) -> None:
    """Measure the lease on the process's monotonic clock, which stands still while its host is suspended."""
    acknowledge = ServerLease._acknowledged
    acknowledged_at: dict[int, float] = {}

    def acknowledged(self: ServerLease, reading: float | None) -> None:
        acknowledged_at[id(self)] = time.monotonic()
        acknowledge(self, reading)

    def deadline(self: ServerLease) -> float:
        left = acknowledged_at.get(id(self), 0.0) + self._seconds - time.monotonic()
        return self._read_clock() + min(left, ANSWER_SECONDS)

    patch(ServerLease, "_acknowledged", acknowledged)
    patch(ServerLease, "deadline", deadline)


def removal_records(patch: Patch) -> None:
    """Forget which removals of expired rows have begun."""
    patch(RetentionStore, "removals", lambda *_: [])


def removal_positions(patch: Patch) -> None:
    """Remove expired rows without a note of their positions."""
    patch(RetentionStore, "keep_positions", lambda *_: None)
