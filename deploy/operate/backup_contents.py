"""What the tables of a database have: rows, parts and a checksum of each, and the positions of their rows.

The files of a part never change: its hash in `system.parts` is that of the same part in a backup and after a restore.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from deploy.operate.backup_manifest import Content, Log, Position, step_of
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import RECORD
from schemas.clickhouse import TABLES
from schemas.clickhouse.quoting import quoted

_VIEWS = frozenset({"View", "MaterializedView", "Dictionary"})


def objects(clickhouse: ClickHouse, database: str) -> tuple[list[str], list[str]]:
    """Return the tables and the views of *database*, sorted. Tables of materialized views belong to the views."""
    rows = clickhouse.query(
        "SELECT name, engine FROM system.tables WHERE database = {database:String} ORDER BY name",
        {"database": database},
    )
    named = [(str(row["name"]), str(row["engine"])) for row in rows if not str(row["name"]).startswith(".inner")]
    return (
        [name for name, engine in named if engine not in _VIEWS],
        [name for name, engine in named if engine in _VIEWS],
    )


def contents(clickhouse: ClickHouse, database: str, names: Iterable[str]) -> dict[str, Content]:
    """Return the content of each table of *names* in *database*, which may be attached from a backup."""
    rows = clickhouse.query(
        "SELECT table, rows, bytes_on_disk, hash_of_all_files FROM system.parts"
        " WHERE database = {database:String} AND active",
        {"database": database},
    )
    parts: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for row in rows:
        parts[row["table"]].append((str(row["hash_of_all_files"]), int(row["rows"]), int(row["bytes_on_disk"])))
    return {name: _content(name, parts.get(name, [])) for name in names}


def _content(name: str, parts: list[tuple[str, int, int]]) -> Content:
    lines = sorted(f"{digest} {rows}" for digest, rows, _ in parts)
    checksum = hashlib.sha256("\n".join(lines).encode()).hexdigest() if parts else ""
    return Content(
        step_of(name), sum(rows for _, rows, _ in parts), len(parts), sum(size for _, _, size in parts), checksum
    )


def positions(clickhouse: ClickHouse, database: str, names: Iterable[str]) -> list[Position]:
    """Return the positions of the rows of each table of *names* that the sink writes."""
    present = set(names)
    return [
        Position(table.name, int(row["_log"]), int(row["_partition"]), int(row["position"]))
        for table in TABLES
        if table.name in present
        for row in clickhouse.query(
            f"SELECT _log, _partition, max(_origin) AS position FROM {quoted(database)}.{table.name}"  # noqa: S608  # our own names
            " GROUP BY _log, _partition ORDER BY _log, _partition"
        )
    ]


def logs(clickhouse: ClickHouse, database: str) -> list[Log]:
    """Return the rows of `_logs` in *database*, by ID."""
    rows = clickhouse.query(
        f"SELECT id, cluster_id, topic_prefix, topic_version, partitions FROM {quoted(database)}._logs ORDER BY id"  # noqa: S608
    )
    return [
        Log(int(row["id"]), row["cluster_id"], row["topic_prefix"], row["topic_version"], int(row["partitions"]))
        for row in rows
    ]


def migrations(clickhouse: ClickHouse, database: str) -> Mapping[str, str]:
    """Return the SHA-256 of each migration that is applied in *database*, by name."""
    rows = clickhouse.query(f"SELECT name, sha256 FROM {quoted(database)}.{RECORD} ORDER BY name")  # noqa: S608
    return {str(row["name"]): str(row["sha256"]) for row in rows}


def damaged(clickhouse: ClickHouse, database: str, names: Iterable[str]) -> list[str]:
    """Read every file of the tables *names* in *database*, and return those tables whose files are damaged."""
    return [
        name
        for name in names
        if not int(
            clickhouse.query(
                f"CHECK TABLE {quoted(database)}.{quoted(name)} SETTINGS check_query_single_value_result = 1"
            )[0]["result"]
        )
    ]


def free_bytes(clickhouse: ClickHouse) -> int | None:
    """Return the free space of ClickHouse's default disk, None if it does not tell."""
    rows = clickhouse.query("SELECT free_space FROM system.disks WHERE name = 'default'")
    return int(rows[0]["free_space"]) if rows else None
