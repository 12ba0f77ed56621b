"""Mutants of the sink's start: where it continues when partitions are assigned, and in which database.

See `tests.faults.mutants`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from processors.sink import resume
from processors.sink.assignment import Assignment
from processors.sink.insert import ClickHouseSink
from processors.sink.logs import ClickHouseLogs, LogIdentity
from processors.sink.resume import Lag, Window
from processors.sink.writer import TableWriter
from schemas.clickhouse import Table

Patch = Callable[[object, str, Any], None]


def rollback_detection(patch: Patch) -> None:
    """Start where the consumer group has committed, whatever the tables have."""

    def none_lags(positions: Mapping[str, int], committed: Mapping[str, int]) -> list[Lag]:
        del positions, committed
        return []

    patch(resume, "lagging", none_lags)


def windows(patch: Patch) -> None:
    """Search for a position by single records, which a late batch makes misleading."""

    def of_one_record(self: Window) -> bool:
        return self.exceeding is None and self.records >= 1

    patch(Window, "is_full", property(of_one_record))


def log_identity(patch: Patch) -> None:
    """Take every log for the first one."""

    def first(self: ClickHouseLogs, identity: LogIdentity) -> int:
        del self, identity
        return 1

    patch(ClickHouseLogs, "find_or_register", first)


def fresh_rule(patch: Patch) -> None:
    """Take a group without offsets for a new one, whatever the tables have."""

    async def from_the_start(self: Assignment, partition: Any) -> int:
        del self
        return int(partition.inputs.log_start)

    patch(Assignment, "_start_without_commit", from_the_start)


def renewed_tokens(patch: Patch) -> None:
    """Write rows again with the token of the INSERT that wrote them before they were deleted."""

    def renew_nothing(self: ClickHouseSink, table: Table, log: int, partitions: Iterable[int]) -> None:
        del self, table, log, partitions

    patch(ClickHouseSink, "renew_tokens", renew_nothing)


def asking_after_interruptions(patch: Patch) -> None:
    """Take the tables for the same after ClickHouse was away while nothing was sent."""

    async def ask_nothing(self: TableWriter, partition: int) -> None:
        del self, partition

    patch(TableWriter, "_ask_after_interruption", ask_nothing)
