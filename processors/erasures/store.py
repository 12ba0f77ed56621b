"""What an erasure does in ClickHouse. Each step can be repeated at any time, also by two workers at once.

Rows leave in three steps: they are listed in `_removed`, the positions that they show are noted, and a lightweight
DELETE hides them. `APPLY DELETED MASK` writes the parts without them, and ClickHouse removes the old parts' files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.engine import failpoints
from processors.erasures import statements
from processors.sink.positions import position_of
from schemas.clickhouse import TABLES, Table
from schemas.clickhouse.quoting import literal
from schemas.erasure import Erasure

STATEMENT_SECONDS = 600
"""Longest time of a statement."""
REASON = "erased"
"""Why a position is noted in `_positions`."""
_SETTINGS = {
    "async_insert": 0,
    "wait_end_of_query": 1,
    # The INSERTs of the sink need the other cores and the memory.
    "max_threads": 1,
    "max_insert_threads": 1,
    "priority": 10,
    "max_memory_usage": 1 << 30,
    "max_execution_time": STATEMENT_SECONDS,
    # Digests are of no use to those who read the log of queries.
    "log_queries": 0,
}
_IN_BACKGROUND = {
    "lightweight_deletes_sync": 0,
    "mutations_sync": 0,
    # The condition is a subquery: each replica has all of `_removed`.
    "allow_nondeterministic_mutations": 1,
    "log_queries": 0,
}


class Owned(NamedTuple):
    """An erasure with what its statements need."""

    id: str
    project_id: str
    hash_key: bytes
    erasure: Erasure


class Row(msgspec.Struct, frozen=True):
    """A row of `erasures`, without what the topic says. Times are milliseconds since 1970."""

    status: str = ""
    waits_for: str = ""
    invisible_at: int | None = None
    proven_at: int | None = None
    topics_forget_at: int | None = None
    rows: dict[str, int] = {}
    backups: tuple[tuple[str, int], ...] = ()


class ErasureStore:
    """The tables of one database. Methods block and raise `ClickHouseError`."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def now(self) -> int:
        """Return the server's time, in milliseconds since 1970."""
        return int(1000 * self._clickhouse.clock())

    def logs(self) -> dict[int, str]:
        """Return the cluster ID of each log that rows come from."""
        rows = self._clickhouse.query("SELECT id, cluster_id FROM _logs")
        return {int(row["id"]): str(row["cluster_id"]) for row in rows}

    def rows(self) -> dict[tuple[str, str], Row]:
        """Return the newest row of each erasure, by project and ID."""
        columns = "status, waits_for, invisible_at, proven_at, topics_forget_at, rows, backups"
        found = self._clickhouse.query(
            f"SELECT project_id, id, argMax(tuple({columns}), _version) AS newest FROM erasures GROUP BY project_id, id"  # noqa: S608  # our own names
            " SETTINGS output_format_json_named_tuples_as_objects = 0, output_format_json_quote_64bit_integers = 0,"
            " date_time_output_format = 'unix_timestamp'"
        )
        return {(str(row["project_id"]), str(row["id"])): _row(row["newest"]) for row in found}

    def write(self, owned: Owned, row: Row) -> None:
        """Write the row of an erasure; it replaces the earlier ones."""
        erasure = owned.erasure
        values = {
            "id": owned.id,
            "project_id": owned.project_id,
            "requested_at": erasure.requested_at,
            "users": len(erasure.users),
            "since": erasure.since,
            "until": erasure.until,
            **msgspec.to_builtins(row),
        }
        micros = "fromUnixTimestamp64Micro"
        millis = "fromUnixTimestamp64Milli"
        self._clickhouse.execute(
            "INSERT INTO erasures SELECT id, project_id,"  # noqa: S608  # our own names
            f" {micros}(requested_at, 'UTC'), users, {micros}(since, 'UTC'), {micros}(until, 'UTC'), status, waits_for,"
            f" {millis}(invisible_at, 'UTC'), {millis}(proven_at, 'UTC'), {millis}(topics_forget_at, 'UTC'), rows,"
            f" arrayMap(b -> (b.1, {millis}(b.2, 'UTC')), backups), now64(3),"
            " toUnixTimestamp64Micro(now64(6)) FROM input("
            "'id String, project_id String, requested_at Int64, users UInt32, since Nullable(Int64),"
            " until Nullable(Int64), status String, waits_for String, invisible_at Nullable(Int64),"
            " proven_at Nullable(Int64), topics_forget_at Nullable(Int64), rows Map(String, UInt64),"
            " backups Array(Tuple(String, Int64))') FORMAT JSONEachRow",
            msgspec.json.encode(values),
            {"async_insert": 0, "wait_end_of_query": 1},
        )

    def remove(self, owned: Owned, table: Table) -> int:
        """Begin to delete the rows of *table* that the erasure covers, and return their number.

        Raises `ClickHouseError` on a cluster: each replica runs the DELETE on its own, and nothing proves that it had
        the list of the rows by then.
        """
        if self._clickhouse.cluster:
            raise ClickHouseError("Erasures are not supported with SEQUENCE_CLICKHOUSE_CLUSTER.")
        found = 0
        for users in statements.batches(owned.erasure.users):
            condition = statements.covered(table, owned.project_id, owned.erasure, owned.hash_key, users)
            found += self._clickhouse.execute(
                statements.mark(table, owned.project_id, owned.id, condition), None, _SETTINGS
            )
        if found:
            failpoints.hit("listed")
            self._note_positions(table, owned.id)
            failpoints.hit("noted")
            self._clickhouse.execute(
                statements.delete(table, owned.project_id, owned.id), None, _SETTINGS | _IN_BACKGROUND
            )
            failpoints.hit("hidden")
        return found

    def removed(self, erasure_id: str) -> dict[str, int]:
        """Return the number of rows that the erasure has listed, by table."""
        rows = self._clickhouse.query(
            "SELECT table_name, count() AS removed FROM _removed FINAL WHERE erasure = {id:String} GROUP BY table_name",
            {"id": erasure_id},
        )
        return {str(row["table_name"]): int(row["removed"]) for row in rows}

    def running(self) -> str:
        """Return the first of our tables in which a mutation is not done, empty for none."""
        rows = self._clickhouse.query(
            "SELECT table, latest_fail_reason FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"
            " AND has({tables:Array(String)}, table) ORDER BY table LIMIT 1",
            {"tables": [table.name for table in TABLES]},
        )
        return str(rows[0]["table"]) if rows else ""

    def apply_masks(self) -> Sequence[str]:
        """Begin to write the parts that have deleted rows without them, and return the names of their tables."""
        rows = self._clickhouse.query(
            "SELECT DISTINCT table, partition_id FROM system.parts WHERE database = currentDatabase() AND active"
            " AND has_lightweight_delete AND has({tables:Array(String)}, table) ORDER BY table, partition_id",
            {"tables": [table.name for table in TABLES]},
        )
        for row in rows:
            self._clickhouse.execute(
                f"ALTER TABLE {row['table']} APPLY DELETED MASK IN PARTITION ID {literal(str(row['partition_id']))}",
                None,
                _IN_BACKGROUND,
            )
        return sorted({str(row["table"]) for row in rows})

    def old_parts(self, until: int) -> int:
        """Return the number of parts that others had replaced by *until*, seconds since 1970, and whose files are left.

        A part that was replaced later may be of rows that stay.
        """
        rows = self._clickhouse.query(
            "SELECT count() AS parts FROM system.parts WHERE database = currentDatabase() AND NOT active"
            " AND toUnixTimestamp(remove_time) <= {until:Int64} AND has({tables:Array(String)}, table)",
            {"until": until, "tables": [table.name for table in TABLES]},
        )
        return int(rows[0]["parts"])

    def _note_positions(self, table: Table, erasure_id: str) -> None:
        """Note the positions that rows show which are about to leave.

        A note counts while the table has the rows that stay: if these are lost, all are missing.
        """
        tops = self._clickhouse.query(
            f"SELECT _log, _partition, top FROM (SELECT _log, _partition, max(_origin) AS top FROM {table.name}"  # noqa: S608  # our own names
            f" GROUP BY _log, _partition) WHERE (_log, _partition, top) IN ({statements.marked(table, erasure_id)})"
        )
        for row in tops:
            log, partition, top = int(row["_log"]), int(row["_partition"]), int(row["top"])
            of_partition = f"_log = {log} AND _partition = {partition}"
            notes = self._clickhouse.query(
                f"SELECT after, position FROM _positions WHERE table_name = '{table.name}' AND {of_partition}"  # noqa: S608  # our own names
            )
            position = position_of(top, [(int(note["after"]), int(note["position"])) for note in notes])
            stays = (
                f"SELECT maxOrNull(_origin) FROM {table.name} WHERE {of_partition}"  # noqa: S608  # our own names
                f" AND ({statements.KEY}) NOT IN ({statements.marked(table, erasure_id)})"
            )
            self._clickhouse.execute(
                "INSERT INTO _positions (table_name, _log, _partition, position, after, reason, written_at) SELECT"
                f" '{table.name}', {log}, {partition}, {position}, ifNull(toInt64(({stays})), -1), '{REASON}',"
                " now64(3)",
                None,
                {"async_insert": 0, "wait_end_of_query": 1, "max_threads": 1},
            )


def _row(newest: Sequence[object]) -> Row:
    status, waits_for, *times, rows, backups = newest
    invisible_at, proven_at, topics_forget_at = (None if time is None else round(1000 * float(time)) for time in times)  # type: ignore[arg-type]  # seconds
    return Row(
        str(status), str(waits_for), invisible_at, proven_at, topics_forget_at,
        {str(name): int(count) for name, count in rows.items()},  # type: ignore[attr-defined]  # a map
        tuple((str(name), round(1000 * float(taken_at))) for name, taken_at in backups),  # type: ignore[attr-defined]  # an array
    )  # fmt: skip
