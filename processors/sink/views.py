"""The check of materialized views: once a minute each view that reads a table of the sink is tried over new rows.

INSERTs ignore errors of views, so that a view that fails costs only its own rows. Nothing names it then. The check runs
the SELECT of each view over the rows that this worker has written since the last check, converts its result to the
columns of the target, and writes nothing. It runs beside the INSERTs, reads for at most `TRIAL_SECONDS` a view, so that
many rows are tried in part, and its own failures change nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.codes import FaultKind, summary
from processors.clickhouse.errors import ClickHouseError, UnavailableError
from processors.engine.metrics import WorkerMetrics
from processors.sink.rows import Block, PersonRow
from schemas.clickhouse import Table
from schemas.clickhouse.quoting import literal, quoted
from schemas.log_throttle import Outage, Throttle

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
TRIAL_SECONDS = 2
"""After this time a trial reads no more rows."""
CLOCKS_AGREE_SECONDS = 60
"""How much later the first row of a block may be received than another one, by the clocks of several gateways."""
_LIMITS = {
    "max_execution_time": TRIAL_SECONDS,
    "timeout_overflow_mode": "break",
    "max_memory_usage": 500_000_000,
    "max_threads": 1,
    # As when rows are pushed to a view: a NULL is no default.
    "insert_null_as_default": 0,
}
_LACKS_PERMISSION = 497
_VIEWS = (
    "SELECT * FROM system.tables WHERE engine = 'MaterializedView' AND (database, name) IN ("
    "SELECT view_database, view_name FROM system.tables"
    " ARRAY JOIN dependencies_database AS view_database, dependencies_table AS view_name"
    " WHERE database = currentDatabase() AND name = {table:String})"
)
_COLUMNS = (
    "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}"
    " AND default_kind NOT IN ('ALIAS', 'MATERIALIZED')"
)


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows of one partition, by their source offsets."""

    first_offset: int
    last_offset: int
    received_from: str
    """The earliest `received_at`, by which ClickHouse leaves out older parts; empty for a table without it."""

    def __or__(self, other: RowRange) -> RowRange:
        """Return the range of both."""
        return RowRange(
            min(self.first_offset, other.first_offset),
            max(self.last_offset, other.last_offset),
            min(self.received_from, other.received_from),
        )

    @property
    def condition(self) -> str:
        """The condition of its rows within their partition, as SQL."""
        offsets = f"_origin BETWEEN {self.first_offset} AND {self.last_offset}"
        if not self.received_from:
            return offsets
        earliest = f"parseDateTime64BestEffort('{self.received_from}', 6, 'UTC') - {CLOCKS_AGREE_SECONDS}"
        return f"{offsets} AND received_at >= {earliest}"


class WrittenRows:
    """The rows that were written to a table since they were last taken."""

    def __init__(self) -> None:
        self._ranges: dict[tuple[int, int], RowRange] = {}
        self._taken = ""

    def add(self, block: Block) -> None:
        """Add the rows of *block*."""
        first = block.rows[0]
        received_from = "" if isinstance(first, PersonRow) else first.received_at
        added = RowRange(block.first_offset, block.last_offset, received_from)
        key = block.log, block.partition
        known = self._ranges.get(key)
        self._ranges[key] = added if known is None else known | added

    def take(self) -> str:
        """Return the condition of the rows, as SQL; if there are none, the last one, and an empty text at first."""
        ranges, self._ranges = self._ranges, {}
        if ranges:
            self._taken = " OR ".join(
                f"(_log = {log} AND _partition = {partition} AND {rows.condition})"
                for (log, partition), rows in ranges.items()
            )
        return self._taken


class Watched(Protocol):
    """A table with new rows; `TableWriter` has this shape."""

    table: Table
    unchecked: WrittenRows


@dataclass(frozen=True, slots=True)
class _View:
    name: str
    """With its database, quoted."""
    select: str
    target_database: str
    target: str


class ViewCheck:
    """Tries the views of some tables. Its client serves it alone."""

    def __init__(self, clickhouse: ClickHouse, metrics: WorkerMetrics) -> None:
        self._clickhouse = clickhouse
        self._metrics = metrics
        self._watched: list[Watched] = []
        self._failing: dict[tuple[str, str], Outage] = {}
        self._unchecked = Throttle()
        self._task: asyncio.Task[None] | None = None

    def watch(self, watched: Watched) -> None:
        """Check the views of the table of *watched* over its new rows."""
        self._watched.append(watched)

    def start(self) -> None:
        """Check once a minute from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Stop. A check that is running ends within its limit of time."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await asyncio.to_thread(self._check, self._take())

    def check(self) -> None:
        """Try each view of each table that has rows once. Blocks, and raises nothing."""
        self._check(self._take())

    def _take(self) -> list[tuple[Table, str]]:
        """Return each table with the condition of its new rows; to be called by the thread that adds them."""
        taken = [(watched.table, watched.unchecked.take()) for watched in self._watched]
        return [(table, condition) for table, condition in taken if condition]

    def _check(self, tables: Sequence[tuple[Table, str]]) -> None:
        for table, condition in tables:
            try:
                self._check_table(table, condition)
            except Exception as error:  # noqa: BLE001  # whatever it is, the sink continues
                self._log_unchecked(table, "the materialized views", error)

    def _check_table(self, table: Table, condition: str) -> None:
        views = [_view(row) for row in self._clickhouse.query(_VIEWS, {"table": table.name})]
        for view in views:
            try:
                fault = self._fault_of(view, table, condition)
            except ClickHouseError as error:
                # No permission, no memory or no connection: nothing is known of the view.
                self._log_unchecked(table, f"the materialized view {view.name}", error)
                continue
            self._note(table, view, fault)
        self._forget(table, {view.name for view in views})

    def _fault_of(self, view: _View, table: Table, condition: str) -> str | None:
        """Return why *view* fails, None if it does not; raises the errors that say nothing of it."""
        of_target = {"database": view.target_database, "table": view.target}
        columns = {row["name"]: row["type"] for row in self._clickhouse.query(_COLUMNS, of_target)}
        target = f"{quoted(view.target_database)}.{quoted(view.target)}"
        if not columns and view.target and not self._exists(target):
            return f"its target table {target} does not exist"
        try:
            selected = [row["name"] for row in self._clickhouse.query(f"DESCRIBE TABLE ({view.select})")]
            stored = [name for name in selected if name in columns] if columns else []
            self._try(view, table, condition, {name: columns[name] for name in stored})
        except ClickHouseError as error:
            if error.code == _LACKS_PERMISSION or error.fault.kind in {FaultKind.SIZE, FaultKind.UNAVAILABLE}:
                raise
            return summary(str(error))
        return None

    def _exists(self, target: str) -> bool:
        return bool(self._clickhouse.query(f"EXISTS TABLE {target}")[0]["result"])

    def _try(self, view: _View, table: Table, condition: str, columns: dict[str, str]) -> None:
        """Run the SELECT of *view* over the rows of *condition*, and convert its result to *columns*."""
        database = self._clickhouse.database
        settings = {**_LIMITS, "additional_table_filters": f"{{'{database}.{table.name}': {literal(condition)}}}"}
        if not columns:
            self._clickhouse.discard(f"SELECT * FROM ({view.select})", settings)  # noqa: S608  # the view's own
            return
        names = ", ".join(map(quoted, columns))
        structure = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
        self._clickhouse.execute(
            f"INSERT INTO FUNCTION null({literal(structure)}) ({names}) SELECT {names} FROM ({view.select})",  # noqa: S608
            None,
            settings,
        )

    def _note(self, table: Table, view: _View, fault: str | None) -> None:
        key = table.name, view.name
        if fault is None:
            self._recovered(key)
            return
        self._metrics.failing_views.labels(*key).set(1)
        if (attempts := self._failing.setdefault(key, Outage()).failed(monotonic(), fault)) is not None:
            log.error(
                "%s: the materialized view %s fails and lacks the rows since then; the table has them. Correct or drop "
                "the view. Failed checks: %d in %.0f s. The last error: %s",
                *(table.name, view.name, attempts.failed, attempts.seconds, fault),
            )

    def _log_unchecked(self, table: Table, what: str, error: Exception) -> None:
        if isinstance(error, UnavailableError) and error.fault.kind is FaultKind.UNAVAILABLE:
            # The INSERTs log the outage.
            return
        if self._unchecked.take(monotonic()):
            log.info("%s: cannot check %s: %s", table.name, what, summary(str(error)))

    def _recovered(self, key: tuple[str, str]) -> None:
        outage = self._failing.pop(key, None)
        if outage is None:
            return
        self._metrics.failing_views.remove(*key)
        attempts = outage.succeeded(monotonic())
        if attempts is not None:
            log.info("%s: the materialized view %s works again or is gone", *key)

    def _forget(self, table: Table, existing: Collection[str]) -> None:
        """End the outages of views that were dropped."""
        for key in [key for key in self._failing if key[0] == table.name and key[1] not in existing]:
            self._recovered(key)


def _view(row: dict[str, Any]) -> _View:
    name = f"{row['database']}.{row['name']}"
    # Older servers do not have the columns of the target; the conversion is not checked there.
    return _View(name, row["as_select"], row.get("target_database", ""), row.get("target_table", ""))
