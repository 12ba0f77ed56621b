"""`ALTER TABLE … MODIFY PARTITION BY …` of the migration files, which ClickHouse does not have: the rows are copied.

The table takes no rows while they are copied: a sink that runs waits, and continues in the new table. Queries read the
old one until then. Every step can be repeated, so a migration that was interrupted at any of them can be run again.
"""

from __future__ import annotations

import logging
import re
import time
from typing import NamedTuple

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, MigrationError

RUNNING_INSERT_SECONDS = 30.0
"""How long to wait for INSERTs that began before the table was closed; those of the sink end within 8 s."""
SUFFIX = "_new_key"
"""Ends the name of the table to which the rows are copied."""
_STATEMENT = re.compile(r"ALTER TABLE (\w+) MODIFY PARTITION BY (.+)", re.DOTALL)
_ENGINE_KEY = re.compile(r" PARTITION BY .+? ORDER BY ")
_CLOSED = ", max_parts_in_total = 0"
_COPY = {
    "max_partitions_per_insert_block": 0,
    "min_insert_block_size_rows": 500_000,
    "min_insert_block_size_bytes": 1 << 28,
    "max_insert_threads": 1,
    "max_threads": 2,
    "insert_deduplicate": 0,
    # Rows that a merge will remove are copied as well, so that the numbers can be compared.
    "optimize_on_insert": 0,
    "max_execution_time": 0,
    "async_insert": 0,
    "wait_end_of_query": 1,
}

log = logging.getLogger(__name__)


class NewKey(NamedTuple):
    """A table and the key that it is to have."""

    table: str
    key: str


def new_key_of(statement: str) -> NewKey | None:
    """Return what *statement* asks for, None if it is another statement."""
    found = _STATEMENT.fullmatch(statement)
    return NewKey(found[1], found[2]) if found else None


def change(clickhouse: ClickHouse, wanted: NewKey) -> None:
    """Give the table the key; nothing is done if it has it. The client must wait for hours for an answer.

    Raises `MigrationError` if there is too little space or rows are being written all the time; the table then is as it
    was, as after an interruption by a signal. After an outage of ClickHouse, or `kill -9`, it takes no rows until the
    migration is run again.
    """
    table, copy = wanted.table, wanted.table + SUFFIX
    engine, has_key = _engine(clickhouse, wanted)
    if not has_key:
        _check_space(clickhouse, table)
        _close(clickhouse, table)
        try:
            _wait_for_inserts(clickhouse, table)
            _drop(clickhouse, copy)
            engine = _ENGINE_KEY.sub(f" PARTITION BY {wanted.key} ORDER BY ", engine.replace(_CLOSED, ""), count=1)
            clickhouse.execute(f"CREATE TABLE {copy} AS {table} ENGINE = {engine}")
            made = _state(clickhouse, table, copy)
            rows = _copy(clickhouse, table, copy)
            if _state(clickhouse, table, copy) != made or not _is_closed_with(clickhouse, table, rows):
                raise MigrationError(f"Another migration of {table} is running. Run this one again when it has ended.")
        except (ClickHouseError, KeyboardInterrupt, SystemExit):
            clickhouse.execute(f"ALTER TABLE {table} RESET SETTING max_parts_in_total")
            raise
        clickhouse.execute(f"EXCHANGE TABLES {copy} AND {table}")
    _drop(clickhouse, copy)


def require(clickhouse: ClickHouse, wanted: NewKey) -> None:
    """Raise `MigrationError` unless the table has the key: a replicated one cannot be given another."""
    if not _engine(clickhouse, wanted)[1]:
        raise MigrationError(
            f"{wanted.table} has another partition key, and the rows of a replicated table cannot be copied. Set "
            "another SEQUENCE_CLICKHOUSE_DATABASE, and let the sink fill new tables."
        )


def _engine(clickhouse: ClickHouse, wanted: NewKey) -> tuple[str, bool]:
    """Return the engine of the table as SQL, and whether it has the key."""
    rows = clickhouse.query(
        "SELECT engine_full, partition_key FROM system.tables WHERE database = currentDatabase()"
        " AND name = {table:String}",
        {"table": wanted.table},
    )
    if not rows:
        raise MigrationError(f"There is no table {wanted.table}.")
    return str(rows[0]["engine_full"]), rows[0]["partition_key"] == wanted.key


def _check_space(clickhouse: ClickHouse, table: str) -> None:
    [row] = clickhouse.query(
        "SELECT ifNull((SELECT total_bytes FROM system.tables WHERE database = currentDatabase()"
        " AND name = {table:String}), 0) AS needed, (SELECT sum(unreserved_space) FROM system.disks) AS free",
        {"table": table},
    )
    if (needed := int(row["needed"])) > (free := int(row["free"])):
        raise MigrationError(
            f"{table} has {needed / 1e9:.1f} GB to copy, and ClickHouse has {free / 1e9:.1f} GB left. Nothing "
            "was changed. Add space, and run the migration again."
        )


def _close(clickhouse: ClickHouse, table: str) -> None:
    """Let *table* take no rows."""
    clickhouse.execute(f"ALTER TABLE {table} MODIFY SETTING max_parts_in_total = 0")


def _wait_for_inserts(clickhouse: ClickHouse, table: str) -> None:
    """Return when no INSERT that began before is running."""
    deadline = time.monotonic() + RUNNING_INSERT_SECONDS
    while clickhouse.query(
        "SELECT 1 FROM system.processes WHERE query_kind = 'Insert' AND match(query, {pattern:String}) LIMIT 1",
        {"pattern": rf"(?i)^\s*INSERT\s+INTO\s+(TABLE\s+)?([\w`]+\.)?`?{table}\b"},
    ):
        if time.monotonic() > deadline:
            raise MigrationError(f"An INSERT into {table} is running. Stop it, and run the migration again.")
        time.sleep(0.1)


def _state(clickhouse: ClickHouse, *tables: str) -> list[str]:
    """Return the IDs of the tables, which another migration would exchange."""
    rows = clickhouse.query(
        "SELECT uuid FROM system.tables WHERE database = currentDatabase() AND has({tables:Array(String)}, name)"
        " ORDER BY name",
        {"tables": list(tables)},
    )
    return [str(row["uuid"]) for row in rows]


def _is_closed_with(clickhouse: ClickHouse, table: str, rows: int) -> bool:
    """Return whether *table* takes no rows and has *rows* of them."""
    [row] = clickhouse.query(
        f"SELECT (SELECT count() FROM {table}) AS rows, (SELECT engine_full FROM system.tables"  # noqa: S608  # our own name
        " WHERE database = currentDatabase() AND name = {table:String}) AS engine",
        {"table": table},
    )
    return _CLOSED in str(row["engine"]) and int(row["rows"]) == rows


def _copy(clickhouse: ClickHouse, table: str, copy: str) -> int:
    """Copy every row, one partition after the other, and return their number."""
    partitions = clickhouse.query(f"SELECT _partition_id AS id, count() AS rows FROM {table} GROUP BY id ORDER BY id")  # noqa: S608  # our own name
    copied = 0
    for number, partition in enumerate(partitions, 1):
        written = clickhouse.execute(
            f"INSERT INTO {copy} SELECT * FROM {table} WHERE _partition_id = '{partition['id']}'",  # noqa: S608  # ClickHouse's own
            None,
            _COPY,
        )
        if written != int(partition["rows"]):
            raise MigrationError(
                f"{table} had {partition['rows']} rows in partition {partition['id']}, and {written} were copied. "
                "Nothing was changed. Run the migration again."
            )
        copied += written
        log.info("%s: copied %d rows of partition %d of %d", table, written, number, len(partitions))
    return copied


def _drop(clickhouse: ClickHouse, copy: str) -> None:
    # Large tables are protected from DROP by default.
    clickhouse.execute(f"DROP TABLE IF EXISTS {copy}", None, {"max_table_size_to_drop": 0})
