"""Tables on a cluster: what the servers need before, and the tables of a replica that was added.

Every statement that changes a table, a view, a function or a user is sent `ON CLUSTER`: ClickHouse runs it on each
server. A server that was added later gets what the others have, by the statements that they show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import MigrationError
from schemas.clickhouse.quoting import literal, quoted
from schemas.clickhouse.replicated import REPLICATED_ENGINE, replicated

TYPED_VIEW = "Made by Sequence events"
"""Beginning of the comment of a typed view."""
_CREATE = re.compile(r"CREATE (TABLE|VIEW) ")
_PARTITION_BY = re.compile(r"^PARTITION BY .+$", re.MULTILINE)
_CREATED = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")


def check_kind(engine: str, cluster: str, database: str) -> None:
    """Raise `MigrationError` if tables with *engine*, empty for none, do not fit *cluster*, empty for one server."""
    is_replicated = engine.startswith(REPLICATED_ENGINE)
    if cluster and engine and not is_replicated:
        raise MigrationError(
            f"SEQUENCE_CLICKHOUSE_CLUSTER is set, but the tables of {database} are not replicated. Set another "
            "SEQUENCE_CLICKHOUSE_DATABASE for replicated tables, or leave SEQUENCE_CLICKHOUSE_CLUSTER empty."
        )
    if is_replicated and not cluster:
        raise MigrationError(
            f"The tables of {database} are replicated. Set SEQUENCE_CLICKHOUSE_CLUSTER to the name of their cluster."
        )


def check(clickhouse: ClickHouse) -> None:
    """Raise `MigrationError` if the cluster is not one of replicas, or if the server has no name in it."""
    cluster = clickhouse.cluster
    [row] = clickhouse.query(
        "SELECT (SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = {cluster:String}) AS shards,"
        " arrayFilter(name -> name NOT IN (SELECT macro FROM system.macros), ['shard', 'replica']) AS missing",
        {"cluster": cluster},
    )
    shards = int(row["shards"])
    if not shards:
        raise MigrationError(
            f"ClickHouse has no cluster {cluster}. Add it to `remote_servers` of every server, or correct "
            "SEQUENCE_CLICKHOUSE_CLUSTER."
        )
    if shards > 1:
        raise MigrationError(
            f"The cluster {cluster} has {shards} shards. SEQUENCE_CLICKHOUSE_CLUSTER must name one whose servers are "
            "replicas of one shard."
        )
    if missing := list(row["missing"]):
        raise MigrationError(f"The server has no macro {', '.join(missing)}. Add it to `macros` of every server.")


def with_final_key(statement: str, keys: Mapping[str, str]) -> str:
    """Return *statement*; if it creates a table of *keys*, with that partition key.

    The rows of a replicated table cannot be copied to one with another key, so it has the last one from the beginning.
    """
    if (found := _CREATED.match(statement)) is None or (key := keys.get(found[1])) is None:
        return statement
    return _PARTITION_BY.sub(lambda _: f"PARTITION BY {key}", statement, count=1)


def add_missing(clickhouse: ClickHouse, ours: Sequence[str]) -> list[str]:
    """Create what some server of the cluster lacks of *ours*, in their order, and of the typed views; return the names.

    Raises `UnavailableError` if a server does not answer.
    """
    name = quoted(clickhouse.cluster)
    rows = clickhouse.query(
        "SELECT database, name, any(create_table_query) AS ddl, any(engine) AS engine"  # noqa: S608  # our own text
        f" FROM clusterAllReplicas({name}, system.tables)"
        f" WHERE database = {literal(clickhouse.database)} AND has({{ours:Array(String)}}, name)"
        f" OR engine = 'View' AND startsWith(comment, {literal(TYPED_VIEW)})"
        f" GROUP BY database, name HAVING count() < (SELECT count() FROM clusterAllReplicas({name}, system.one))"
        " SETTINGS skip_unavailable_shards = 0",
        {"ours": list(ours)},
    )
    places = {each: number for number, each in enumerate(ours)}
    found = [
        (str(row["database"]), str(row["name"]), str(row["ddl"]))
        for row in sorted(rows, key=lambda row: (row["engine"] == "View", places.get(row["name"], len(places))))
        if row["engine"] == "View" or str(row["engine"]).startswith(REPLICATED_ENGINE)
    ]
    for statement in copies(found):
        clickhouse.execute(replicated(statement, clickhouse.cluster))
    return [f"{database}.{name}" for database, name, _ in found]


def copies(found: Iterable[tuple[str, str, str]]) -> list[str]:
    """Return the statements that create what is missing of *found*: database, name, and the statement of a server."""
    statements = []
    for database, _, ddl in found:
        make = f"CREATE DATABASE IF NOT EXISTS {quoted(database)}"
        if make not in statements:
            statements.append(make)
        statements.append(_CREATE.sub(r"CREATE \1 IF NOT EXISTS ", ddl, count=1))
    return statements
