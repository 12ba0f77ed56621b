"""The catalogue's tables on ClickHouse: positions, passes, and what is near its limit. Methods block."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from processors.clickhouse import replicas
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, TooLateError, UnavailableError
from processors.sink import catalog_statement as statement
from processors.sink.catalog_statement import NEAR, Crowds, Pass, Range, Source

PASS_SECONDS = 600
"""Longest time of a pass. Only a pass over a large backlog takes more than a second."""
MIXED_ROWS = 400_000
"""To read so many rows again costs several times the fixed part of a pass."""
RUNNING_SECONDS = 5.0
"""How long one call waits for a running pass; callers that must wait longer call again."""
_THROW_IF = 395
_SETTINGS = {
    "async_insert": 0,
    "wait_end_of_query": 1,
    # One pass, one block, one part: all or nothing.
    "max_insert_block_size": 1_000_000_000,
    "min_insert_block_size_rows": 1_000_000_000,
    "min_insert_block_size_bytes": 1 << 40,
    "max_insert_threads": 1,
    "insert_deduplicate": 1,
}
_LIMITS = {
    # The INSERTs of the sink need the other cores and the memory.
    "max_threads": 1,
    "max_memory_usage": 1 << 30,
    "max_bytes_before_external_group_by": 1 << 28,
    "max_execution_time": PASS_SECONDS,
}

Partition = tuple[int, int]
"""A log and a partition of it."""


class MovedError(ClickHouseError):
    """Another pass has counted the rows."""


class CrowdedError(ClickHouseError):
    """A pass has a crowd that is not among its crowds."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a source is counted."""

    generation: int = 0
    number: int = 0
    """Of the last pass."""
    positions: Mapping[Partition, int] = field(default_factory=dict)
    """By partition, the next source offset to count."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a pass cost."""

    read_rows: int
    written_rows: int


class CatalogStore(Protocol):
    """Where the catalogue is kept. `tests.fakes.catalog` has a fake."""

    def state(self, source: Source) -> State:
        """Return how far *source* is counted."""

    def ends(self, source: Source) -> dict[Partition, int]:
        """Return by partition the source offset after that of the newest row."""

    def count(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Store a pass, or raise; after an error, whatever it says, only `state` tells whether it is stored.

        A pass of a number that is stored already changes nothing, unless *suffix* is another one.
        """

    def skip(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Store the positions of a pass without its counts, or raise."""

    def try_statement(self, counted: Pass) -> None:
        """Run the pass over no rows, or raise: the fault is not that of rows."""

    def wait_for_running(self, source: Source) -> None:
        """Return when no pass over *source* is running; raises `UnavailableError` if one does not end."""

    def stored_crowds(self, source: Source, generation: int) -> Crowds:
        """Return what is near its limit in the catalogue."""

    def new_crowds(self, counted: Pass) -> Crowds:
        """Return what is near its limit in the rows of a pass alone."""

    def largest_growth(self, source: Source, state: State, crowds: Crowds) -> int:
        """Return an upper bound of the paths that the last pass added to an event that is not among *crowds*."""

    def is_mixing(self, source: Source, ranges: Sequence[Range]) -> bool:
        """Return whether a merge is running that puts rows of *ranges* beside `MIXED_ROWS` others; False if unknown."""


class ClickHouseCatalog:
    """The catalogue on ClickHouse. Its client serves it alone."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def state(self, source: Source) -> State:
        """Return how far *source* is counted."""
        replicas.check_complete(self._clickhouse, "catalog_counts")
        rows = self._clickhouse.query(
            "WITH (SELECT max(_generation) FROM catalog_counts) AS newest"
            " SELECT newest AS generation, _log, _partition, max(_position) AS position, max(_pass) AS pass"
            " FROM catalog_counts WHERE project_id = '' AND kind = {kind:String} AND _generation = newest"
            " GROUP BY _log, _partition",
            {"kind": source.kind},
        )
        if not rows:
            [newest] = self._clickhouse.query("SELECT max(_generation) AS generation FROM catalog_counts")
            return State(int(newest["generation"]))
        positions = {_partition(row): int(row["position"]) for row in rows}
        return State(int(rows[0]["generation"]), max(int(row["pass"]) for row in rows), positions)

    def ends(self, source: Source) -> dict[Partition, int]:
        """Return by partition the source offset after that of the newest row; the projection `positions` answers."""
        rows = self._clickhouse.query(
            f"SELECT _log, _partition, max(_origin) AS newest FROM {source.table.name} GROUP BY _log, _partition"  # noqa: S608  # our own name
        )
        return {_partition(row): int(row["newest"]) + 1 for row in rows}

    def count(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Store a pass, or raise."""
        replicas.check_complete(self._clickhouse, counted.source.table.name)
        return self._insert(statement.insert(counted, deadline), counted.token + suffix)

    def skip(self, counted: Pass, deadline: float, suffix: str) -> Work:
        """Store the positions of a pass without its counts, or raise."""
        return self._insert(statement.skip(counted, deadline), counted.token + suffix)

    def try_statement(self, counted: Pass) -> None:
        """Run the pass over no rows, or raise."""
        self._clickhouse.discard(statement.trial(counted), _LIMITS)

    def wait_for_running(self, source: Source) -> None:
        """Return when no pass over *source* is running."""
        deadline = time.monotonic() + RUNNING_SECONDS
        running = (
            "SELECT 1 AS value FROM system.processes"
            " WHERE startsWith(Settings['insert_deduplication_token'], {prefix:String}) LIMIT 1"
        )
        prefix = {"prefix": statement.token_prefix(source)}
        while replicas.on_all_replicas(self._clickhouse, running, prefix, "catalog_counts"):
            if time.monotonic() > deadline:
                raise UnavailableError("Another pass of the catalogue is running.")
            time.sleep(0.2)

    def stored_crowds(self, source: Source, generation: int) -> Crowds:
        """Return what is near its limit in the catalogue."""
        of_kind = "kind = {kind:String} AND _generation = {generation:UInt32} AND project_id != ''"
        rows = self._clickhouse.query(
            f"SELECT project_id, event, 0 AS of_project FROM catalog_counts WHERE {of_kind}"  # noqa: S608  # our own names and numbers
            f" GROUP BY project_id, event HAVING uniqExact(path) > {NEAR}"
            f" UNION ALL SELECT project_id, '', 1 FROM catalog_counts WHERE {of_kind}"
            f" GROUP BY project_id HAVING uniqExact(event) > {NEAR}",
            {"kind": source.kind, "generation": generation},
        )
        return _crowds(rows)

    def new_crowds(self, counted: Pass) -> Crowds:
        """Return what is near its limit in the rows of a pass alone."""
        limits = ", ".join(f"{name} = {value}" for name, value in _LIMITS.items())
        return _crowds(self._clickhouse.query(f"{statement.crowds(counted)} SETTINGS {limits}"))

    def largest_growth(self, source: Source, state: State, crowds: Crowds) -> int:
        """Return an upper bound of the paths that the last pass added to an event, or of the events of a project."""
        is_far, is_far_project = statement.is_far(crowds), statement.is_far_project(crowds)
        [row] = self._clickhouse.query(
            "SELECT max(paths) AS of_events, max(events) AS of_projects FROM ("  # noqa: S608  # our own names
            f"SELECT if({is_far}, count(), 0) AS paths,"
            f" if({is_far_project}, count() OVER (PARTITION BY project_id), 0) AS events"
            " FROM catalog_counts WHERE kind = {kind:String} AND _generation = {generation:UInt32}"
            " AND _pass = {number:UInt64} AND project_id != '' GROUP BY project_id, event)",
            {"kind": source.kind, "generation": state.generation, "number": state.number},
        )
        return max(int(row["of_events"]), int(row["of_projects"]))

    def is_mixing(self, source: Source, ranges: Sequence[Range]) -> bool:
        """Return whether a merge is running that puts rows of *ranges* beside `MIXED_ROWS` others; False if unknown.

        Until it ends, the server reads its source parts, and the new rows are in the small ones.
        """
        try:
            return any(self._is_mixed(source, ranges, names) for names in self._merging(source))
        except ClickHouseError:
            # Only the cost of the next pass depends on it, and a user may have no SELECT on these system tables.
            return False

    def _merging(self, source: Source) -> list[Sequence[str]]:
        """Return the names of the parts of each running merge."""
        rows = self._clickhouse.query(
            "SELECT source_part_names AS parts FROM system.merges"
            " WHERE database = currentDatabase() AND table = {table:String} AND NOT is_mutation",
            {"table": source.table.name},
        )
        return [row["parts"] for row in rows]

    def _is_mixed(self, source: Source, ranges: Sequence[Range], parts: Sequence[str]) -> bool:
        [row] = self._clickhouse.query(
            "SELECT sum(rows) AS number FROM system.parts WHERE active AND database = currentDatabase()"
            " AND table = {table:String} AND has({parts:Array(String)}, name)",
            {"table": source.table.name, "parts": parts},
        )
        if int(row["number"]) < MIXED_ROWS:
            return False
        [new] = self._clickhouse.query(
            f"SELECT count() AS number FROM {source.table.name}"  # noqa: S608  # our own names and numbers
            f" WHERE has({{parts:Array(String)}}, _part) AND ({statement.rows_of(ranges)})",
            {"parts": parts},
        )
        return 0 < int(new["number"]) <= int(row["number"]) - MIXED_ROWS

    def begin_generation(self) -> int:
        """Begin an empty catalogue, which counts every row again, and return its number; the older ones are dropped.

        A pass over an older one that is running changes nothing in the new one.
        """
        [row] = self._clickhouse.query("SELECT max(_generation) + 1 AS next FROM catalog_counts")
        generation = int(row["next"])
        self._clickhouse.execute(
            f"INSERT INTO catalog_counts (_generation) SELECT toUInt32({generation})",
            None,
            {**_SETTINGS, "insert_deduplication_token": f"sequence:catalog:generation:{generation}"},
        )
        older = self._clickhouse.query(
            "SELECT DISTINCT _generation AS number FROM catalog_counts WHERE _generation < {generation:UInt32}",
            {"generation": generation},
        )
        for each in older:
            self._clickhouse.execute(f"ALTER TABLE catalog_counts DROP PARTITION {int(each['number'])}")
        return generation

    def _insert(self, sql: str, token: str) -> Work:
        settings = {**_SETTINGS, **_LIMITS, "insert_deduplication_token": token}
        try:
            read, written = self._clickhouse.execute_counted(sql, None, settings)
        except ClickHouseError as error:
            raise _translated(error) from error
        return Work(read, written)


def _partition(row: Mapping[str, Any]) -> Partition:
    return int(row["_log"]), int(row["_partition"])


def _crowds(rows: Sequence[Mapping[str, Any]]) -> Crowds:
    return Crowds(
        frozenset((str(row["project_id"]), str(row["event"])) for row in rows if not row["of_project"]),
        frozenset(str(row["project_id"]) for row in rows if row["of_project"]),
    )


def _translated(error: ClickHouseError) -> ClickHouseError:
    """Return the error that a condition of the statement stands for, *error* itself if it is another."""
    if error.code != _THROW_IF:
        return error
    kinds = {statement.MOVED: MovedError, statement.TOO_MANY: CrowdedError, statement.TOO_LATE: TooLateError}
    return next(
        (kind(text, error.code) for text, kind in kinds.items() if f"DB::Exception: {text}" in str(error)), error
    )
