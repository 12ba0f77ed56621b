"""Expired rows on ClickHouse: where they are, what is recorded of them, and how they leave. Methods block."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import orjson

from processors.clickhouse import replicas
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.retention.rules import Counted, Removal
from schemas.clickhouse import Table
from schemas.clickhouse.quoting import literal

STATEMENT_SECONDS = 600
"""Longest time of a statement; a DELETE continues in the server."""
_NO_SUCH_PART = 232
_WRITES = {"async_insert": 0, "wait_end_of_query": 1}
_LIMITS = "SETTINGS max_threads = 1, max_memory_usage = 1073741824, max_execution_time = 600"
"""The INSERTs of the sink need the other cores and the memory."""


class RetentionStore:
    """The tables on ClickHouse. Weeks are the IDs of their partitions, such as `20261005` for the Monday."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def now(self) -> float:
        """Return the time in seconds since 1970, by the clock of the server or of this machine that is behind."""
        return min(self._clickhouse.clock(), time.time())

    def is_busy(self, table: Table) -> bool:
        """Return whether rows of *table* are being removed; raises `ClickHouseError` if that fails repeatedly."""
        mutations = self._clickhouse.query(
            "SELECT mutation_id, latest_fail_reason FROM system.mutations"
            " WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done",
            {"table": table.name},
        )
        for mutation in mutations:
            if reason := str(mutation["latest_fail_reason"]):
                raise ClickHouseError(f"The mutation {mutation['mutation_id']} of {table.name} fails: {reason}")
        return bool(mutations)

    def weeks(self, table: Table, expired: str) -> list[str]:
        """Return the weeks that have rows of the condition *expired*, the oldest first."""
        replicas.check_complete(self._clickhouse, table.name)
        rows = self._clickhouse.query(
            f"SELECT DISTINCT _partition_id AS week FROM {table.name} WHERE {expired} ORDER BY week {_LIMITS}"  # noqa: S608  # quoted
        )
        return [str(row["week"]) for row in rows]

    def count(self, table: Table, week: str, expired: str, projects: Iterable[str]) -> list[Counted]:
        """Return the rows of each of *projects* in *week*, and how many are of the condition *expired*."""
        replicas.check_complete(self._clickhouse, table.name, "removals")
        condition = expired or "0"
        rows = self._clickhouse.query(
            f"SELECT project_id, count() AS rows, countIf({condition}) AS expired,"  # noqa: S608  # quoted
            f" toUnixTimestamp64Micro(minIf(received_at, {condition})) AS oldest,"
            f" toUnixTimestamp64Micro(maxIf(received_at, {condition})) AS newest"
            f" FROM {table.name} WHERE _partition_id = {literal(week)} AND project_id IN ({_listed(projects)})"
            f" GROUP BY project_id {_LIMITS}"
        )
        return [
            Counted(
                str(row["project_id"]),
                int(row["rows"]),
                int(row["expired"]),
                int(row["oldest"]) / 1e6,
                int(row["newest"]) / 1e6,
            )
            for row in rows
        ]

    def open_weeks(self, table: Table) -> dict[str, list[str]]:
        """Return the weeks with removals that are not done, and the projects of each."""
        rows = self._clickhouse.query(
            "SELECT toYYYYMMDD(week) AS week, groupUniqArray(project_id) AS projects FROM removals FINAL"
            " WHERE table_name = {table:String} AND removed_at IS NULL GROUP BY week",
            {"table": table.name},
        )
        return {str(row["week"]): [str(name) for name in row["projects"]] for row in rows}

    def removals(self, table: Table, week: str, projects: Iterable[str]) -> list[Removal]:
        """Return the removals of *projects* from *week* so far."""
        rows = self._clickhouse.query(
            "SELECT project_id, number, rows, _left, toUnixTimestamp64Micro(oldest) AS oldest,"  # noqa: S608  # quoted
            " toUnixTimestamp64Micro(newest) AS newest, removed_at IS NOT NULL AS done FROM removals FINAL"
            f" WHERE table_name = {{table:String}} AND toYYYYMMDD(week) = {{week:UInt32}}"
            f" AND project_id IN ({_listed(projects)})",
            {"table": table.name, "week": int(week)},
        )
        return [
            Removal(
                str(row["project_id"]),
                int(row["number"]),
                int(row["rows"]),
                int(row["_left"]),
                int(row["oldest"]) / 1e6,
                int(row["newest"]) / 1e6,
                is_done=bool(row["done"]),
            )
            for row in rows
        ]

    def record(self, table: Table, week: str, removals: Sequence[Removal]) -> None:
        """Write *removals* from *week*. Of one removal the last record counts, or one that is done."""
        if not removals:
            return
        now = self._clickhouse.clock()
        rows = [
            {
                "project_id": each.project_id,
                "table_name": table.name,
                "week": f"{week[:4]}-{week[4:6]}-{week[6:]}",
                "number": each.number,
                "rows": each.rows,
                "oldest": _time(each.oldest),
                "newest": _time(each.newest),
                "removed_at": _time(now) if each.is_done else None,
                "_left": each.left,
                "_version": (int(each.is_done) << 63) + int(now * 1e6),
            }
            for each in removals
        ]
        self._clickhouse.execute("INSERT INTO removals FORMAT JSONEachRow", orjson.dumps(rows), _WRITES)

    def keep_positions(self, table: Table, week: str, expired: str) -> None:
        """Note the source offsets of the rows of *expired* as removed on purpose: the sink must not write them again.

        The position is the highest of them, not that of the table: an audit looks for what is missing above it.
        """
        self._clickhouse.execute(
            "INSERT INTO _positions (table_name, _log, _partition, position, after, reason, written_at)"  # noqa: S608  # quoted
            f" SELECT '{table.name}', _log, _partition, max(_origin), -1, 'kept', now64(3) FROM {table.name}"
            f" WHERE _partition_id = {literal(week)} AND {expired} GROUP BY _log, _partition {_LIMITS}",
            None,
            _WRITES,
        )

    def remove(self, table: Table, week: str, expired: str) -> None:
        """Remove the rows of *expired* from *week*: parts that have no others at once, those in others within minutes.

        Rows that are written at the same time stay, unless the condition is theirs. On a cluster no part is dropped:
        Keeper protects the part of the last INSERT into each partition.
        """
        if self._clickhouse.cluster:
            self._delete(table, week, expired)
            return
        parts = self._clickhouse.query(
            f"SELECT _part AS name, countIf(NOT {expired}) AS others FROM {table.name}"  # noqa: S608  # quoted
            f" WHERE _partition_id = {literal(week)} GROUP BY name HAVING count() > others {_LIMITS}"
        )
        for part in parts:
            if not int(part["others"]):
                self._drop(table, str(part["name"]))
        if any(int(part["others"]) for part in parts):
            self._delete(table, week, expired)

    def _delete(self, table: Table, week: str, expired: str) -> None:
        self._clickhouse.execute(
            f"ALTER TABLE {table.name} DELETE IN PARTITION ID {literal(week)} WHERE {expired}",
            None,
            {"mutations_sync": 0},
        )

    def _drop(self, table: Table, part: str) -> None:
        try:
            self._clickhouse.execute(f"ALTER TABLE {table.name} DROP PART {literal(part)}")
        except ClickHouseError as error:
            if error.code != _NO_SUCH_PART:
                raise
            # A merge has replaced the part. The next look finds its rows.


def _time(seconds: float) -> str:
    whole, micros = divmod(round(seconds * 1e6), 1_000_000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(whole))}.{micros:06d}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(literal, sorted(names))) or "''"
