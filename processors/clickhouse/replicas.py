"""Replicas: whether the one that answers has all rows, and what runs on the others. Without a cluster nothing is asked.

With `select_sequential_consistency` a replica answers only if it has the newest part of each partition that a quorum
has, and leaves out a part whose quorum is not reached. Three cases are left, each of which would show a position that
is too low or too high:

- Replicas fetch parts side by side, and one that was added or repaired fetches all of them: it may have the newest part
  and lack an earlier one. `check_complete` asks for its queue.
- A replica may show a part of which Keeper does not know, until it has checked it. `check_complete` asks for those too.
- A part whose quorum is not reached may become visible later. `check_settled` asks Keeper for such a part, and
  `on_all_replicas` asks every replica for INSERTs that run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import UnavailableError
from schemas.clickhouse.quoting import literal, quoted

_OURS = "database = {database:String} AND has({tables:Array(String)}, table)"


def check_complete(clickhouse: ClickHouse, *tables: str, database: str = "") -> str:
    """Return the UUID of the server that answers; raise `UnavailableError` if it may lack rows of *tables*.

    Without a cluster it is empty. The tables are in the database of the client, or in *database*.
    """
    if not clickhouse.cluster:
        return ""
    # The log of a new table begins at 0, as its pointer does: there the newest part, which the engine checks, suffices.
    rows = clickhouse.query(
        "SELECT serverUUID() AS server, hostName() AS host, table, is_readonly OR is_session_expired AS is_cut_off,"  # noqa: S608  # our own text
        " inserts_in_queue + parts_to_check"
        " + if(log_max_index = 0, 0, greatest(toInt64(log_max_index + 1) - toInt64(log_pointer), 0)) AS missing"
        f" FROM system.replicas WHERE {_OURS} ORDER BY table",
        {"database": database or clickhouse.database, "tables": list(tables)},
    )
    if absent := set(tables) - {str(row["table"]) for row in rows}:
        raise UnavailableError(
            f"SEQUENCE_CLICKHOUSE_CLUSTER is set, but the server has no replicated table {', '.join(sorted(absent))}. "
            "Run `sequence tables migrate`."
        )
    for row in rows:
        if int(row["is_cut_off"]):
            raise UnavailableError(f"The replica {row['host']} has lost Keeper, so it may lack rows of {row['table']}.")
        if missing := int(row["missing"]):
            raise UnavailableError(
                f"The replica {row['host']} is behind the others: {missing} changes of {row['table']} are waiting."
            )
    return str(rows[0]["server"])


def same_server(server: str, columns: str) -> str:
    """Return the end of a SELECT of *columns* that fails unless *server*, the result of `check_complete`, runs it."""
    if not server:
        return ""
    is_other = f"throwIf(serverUUID() != toUUID({literal(server)}), 'another replica answers than the one asked')"
    return f" UNION ALL SELECT {columns} FROM system.one WHERE {is_other} != 0"  # noqa: S608  # our own text


def check_settled(clickhouse: ClickHouse, *tables: str) -> None:
    """Raise `UnavailableError` while an INSERT into one of *tables* has not reached its quorum, though it has ended."""
    if not clickhouse.cluster:
        return
    rows = clickhouse.query(
        "SELECT path FROM system.zookeeper WHERE name = 'status' AND path IN"  # noqa: S608  # our own text
        f" (SELECT concat(zookeeper_path, '/quorum') FROM system.replicas WHERE {_OURS})",
        {"database": clickhouse.database, "tables": list(tables)},
    )
    if rows:
        raise UnavailableError(f"An INSERT has not reached its quorum of replicas: {rows[0]['path']}.")


def on_all_replicas(clickhouse: ClickHouse, select: str, parameters: Mapping[str, Any], table: str) -> list[str]:
    """Return the different values of *select*, of one column `value`, on the server or on all replicas of *table*.

    Raises `UnavailableError` if a replica does not answer that is active by Keeper. One that is not active cannot end
    an INSERT: Keeper refuses what a replica began before it lost its session.
    """
    if not clickhouse.cluster:
        return [str(row["value"]) for row in clickhouse.query(select, parameters)]
    rows = clickhouse.query(
        f"SELECT replica, found FROM clusterAllReplicas({quoted(clickhouse.cluster)}, view(SELECT"  # noqa: S608  # our own text
        " (SELECT any(substitution) FROM system.macros WHERE macro = 'replica') AS replica,"
        f" (SELECT groupUniqArray(value) FROM ({select})) AS found)) SETTINGS skip_unavailable_shards = 1",
        parameters,
    )
    active = clickhouse.query(
        "SELECT arrayJoin(mapKeys(mapFilter((name, active) -> active = 1, replica_is_active))) AS replica"  # noqa: S608  # our own text
        f" FROM system.replicas WHERE {_OURS}",
        {"database": clickhouse.database, "tables": [table]},
    )
    if silent := {str(row["replica"]) for row in active} - {str(row["replica"]) for row in rows}:
        names = ", ".join(sorted(silent))
        raise UnavailableError(f"Replicas that are active do not answer, so what they write is unknown: {names}.")
    return sorted({str(value) for row in rows for value in row["found"]})
