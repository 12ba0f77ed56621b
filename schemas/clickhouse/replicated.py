"""The form of a statement on a cluster of replicas, derived from the one form that the files and the code have. Pure.

Without a cluster a statement stays as it is. On a cluster, DDL gets `ON CLUSTER`, an engine of the MergeTree family
becomes its replicated one, and the window of deduplication gets the name that replicated tables give it. Nothing else
differs.
"""

from __future__ import annotations

import re
from typing import Any

from schemas.clickhouse.quoting import quoted

KEEPER_PATH = "/clickhouse/tables/{shard}/{database}/{table}"
"""Where Keeper has what the replicas of a table share. The table's name is part of it: a replica that is added later
finds the table by the statement that created it. ClickHouse replaces `{database}` and `{table}` at the creation, and
`{shard}` by the macro of the server."""
REPLICA = "{replica}"
"""Name of the replica: the macro of the server."""
REPLICATED_ENGINE = "Replicated"
"""Beginning of the name of a replicated engine."""

_QUORUM_MILLISECONDS = 5_000
_DDL_MARGIN_SECONDS = 3
_PART = r"(?:`(?:[^`\\]|\\.)*`|\w+)"
_NAME = rf"{_PART}(?:\.{_PART})?"
_DDL = re.compile(
    r"(?:CREATE (?:OR REPLACE )?(?:TABLE|VIEW|DATABASE|FUNCTION|USER|ROLE) (?:IF NOT EXISTS )?"
    r"|ALTER (?:TABLE|USER) "
    rf"|DROP (?:USER|VIEW|TABLE|DATABASE) (?:IF EXISTS )?){_NAME}(?= |\n|$)"
    r"|GRANT(?= )"
)
_OTHER_DDL = re.compile(r"(?:CREATE|ALTER|DROP|GRANT|REVOKE|RENAME|EXCHANGE|TRUNCATE|ATTACH|DETACH|OPTIMIZE|SYSTEM)\b")
_ENGINE = re.compile(r"\bENGINE = (?!Replicated)(\w*MergeTree)(?:\(([^()]*)\))?(?=\s|$)")
_WINDOW = re.compile(r"\bnon_(replicated_deduplication_window)\b")


def replicated(statement: str, cluster: str) -> str:
    """Return *statement* as it is sent to *cluster*; *statement* itself if that is empty or it is no DDL.

    Raises `ValueError` for DDL whose form on a cluster is not known.
    """
    if not cluster:
        return statement
    found = _DDL.match(statement)
    if found is None:
        if _OTHER_DDL.match(statement):
            raise ValueError(f"The form of this statement on a cluster is not known: {statement[:80]}")
        return statement
    head, rest = statement[: found.end()], statement[found.end() :]
    if " TABLE " in head and head.startswith("CREATE"):
        rest = _WINDOW.sub(r"\1", _ENGINE.sub(_replicated_engine, rest, count=1))
    return f"{head} ON CLUSTER {quoted(cluster)}{rest}"


def _replicated_engine(engine: re.Match[str]) -> str:
    arguments = ", ".join([f"'{KEEPER_PATH}'", f"'{REPLICA}'", *([engine[2]] if engine[2] else [])])
    return f"ENGINE = {REPLICATED_ENGINE}{engine[1]}({arguments})"


def cluster_settings(answer_seconds: float) -> dict[str, Any]:
    """Return the settings of every statement on a cluster, whose client waits *answer_seconds* for an answer."""
    return {
        # An INSERT is acknowledged when most replicas have its rows. Only one at a time waits for that in a table, so
        # that replicas take the rows in one order.
        "insert_quorum": "auto",
        "insert_quorum_parallel": 0,
        "insert_quorum_timeout": _QUORUM_MILLISECONDS,
        "async_insert": 0,
        # A replica that lacks rows that were acknowledged answers with an error, not with fewer rows.
        "select_sequential_consistency": 1,
        # The server gives up before the client does.
        "distributed_ddl_task_timeout": max(1, int(answer_seconds) - _DDL_MARGIN_SECONDS),
        "distributed_ddl_output_mode": "none",
        # Functions and users of servers that keep them in Keeper are created once, not once on each server.
        "ignore_on_cluster_for_replicated_udf_queries": 1,
        "ignore_on_cluster_for_replicated_access_entities_queries": 1,
    }
