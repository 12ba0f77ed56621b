"""The table `_logs`: which Kafka log the source offsets in the rows belong to.

A source offset means something only within its log: one Kafka cluster, topic prefix, topic version and number of
partitions. The sink finds its log by these facts and writes the id into each row. It registers its log in a database
that no log has written to; any other it refuses, because another deployment's positions would hide its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from processors.clickhouse import replicas
from processors.clickhouse.client import ClickHouse
from processors.engine.errors import ForeignDatabaseError
from schemas.clickhouse import TABLES

FIRST_ID = 1
_INSERT_SETTINGS = {"async_insert": 0, "wait_end_of_query": 1, "insert_deduplicate": 1}


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """What distinguishes one log from another."""

    cluster_id: str
    """ID of the Kafka cluster; empty for a cluster that reports none."""
    topic_prefix: str
    topic_version: str
    partitions: int

    def __str__(self) -> str:
        cluster = self.cluster_id or "without an id"
        return (
            f"Kafka cluster {cluster}, topics {self.topic_prefix}.*.{self.topic_version}, {self.partitions} partitions"
        )


@dataclass(frozen=True, slots=True)
class RegisteredLog:
    """A row of `_logs`."""

    id: int
    identity: LogIdentity


class Logs(Protocol):
    """Which log writes to the database. The fake and the real one pass the same contract suite. Methods block."""

    def find_or_register(self, identity: LogIdentity) -> int:
        """Return the id of *identity*, and register it first in a database without rows and logs.

        Raises `ForeignDatabaseError` if the database belongs to another log.
        """

    def accepted(self, log: int, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset of *topic* below which a person has accepted losses, by partition of *log*."""

    def has_rows(self, log: int) -> bool:
        """Return whether a table has a row of *log*, or a position is noted for it."""


class ClickHouseLogs:
    """`_logs` and the accepted losses in `_positions` on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse, database: str) -> None:
        self._clickhouse = clickhouse
        self._database = database

    def find_or_register(self, identity: LogIdentity) -> int:
        """Return the id of *identity*, and register it first in a database without rows and logs."""
        registered = self.registered()
        if (found := find(registered, identity)) is not None:
            return found
        if not registered and not self.rows_of():
            self._insert(FIRST_ID, identity)
            registered = self.registered()
            if (found := find(registered, identity)) is not None:
                return found
        raise refusal(identity, registered, self.rows_of(), self._database)

    def register(self, identity: LogIdentity, log: int | None = None) -> int:
        """Register *identity* beside what is registered, and return its id.

        For a Kafka that replaces another for good: its source offsets count from the beginning. *log* is for a database
        that has rows of this very log but lost their row of `_logs`. Raises `ForeignDatabaseError` if *log* is taken.
        """
        registered = self.registered()
        if (found := find(registered, identity)) is not None:
            return found
        if log is None:
            log = max([each.id for each in registered] + self.rows_of(), default=FIRST_ID - 1) + 1
        self._insert(log, identity)
        registered = self.registered()
        if (found := find(registered, identity)) is not None:
            return found
        raise ForeignDatabaseError(f"Log {log} of the database {self._database} is another: {listed(registered)}.")

    def registered(self) -> list[RegisteredLog]:
        """Return the rows of `_logs`, by id."""
        replicas.check_complete(self._clickhouse, "_logs")
        rows = self._clickhouse.query(
            "SELECT id, cluster_id, topic_prefix, topic_version, partitions FROM _logs ORDER BY id, added_at"
        )
        return [
            RegisteredLog(
                int(row["id"]),
                LogIdentity(row["cluster_id"], row["topic_prefix"], row["topic_version"], int(row["partitions"])),
            )
            for row in rows
        ]

    def rows_of(self) -> list[int]:
        """Return the logs that the rows of the tables come from."""
        replicas.check_complete(self._clickhouse, *(table.name for table in TABLES))
        # The projection `positions` answers this without the rows.
        logs = " UNION ALL ".join(f"SELECT _log FROM {table.name} GROUP BY _log" for table in TABLES)  # noqa: S608
        return [int(row["_log"]) for row in self._clickhouse.query(f"SELECT DISTINCT _log FROM ({logs}) ORDER BY _log")]  # noqa: S608

    def has_rows(self, log: int) -> bool:
        """Return whether a table has a row of *log*, or a position is noted for it."""
        replicas.check_complete(self._clickhouse, "_positions")
        noted = self._clickhouse.query("SELECT 1 FROM _positions WHERE _log = {log:UInt16} LIMIT 1", {"log": log})
        return bool(noted) or log in self.rows_of()

    def accept_loss(self, log: int, topic: str, partition: int, log_start: int) -> None:
        """Note that records of *topic* below the offset *log_start* are accepted as lost.

        *topic* is the name without the prefix, for example `events.v1`. The sink then starts at *log_start*.
        """
        row = {"topic": topic, "log": log, "partition": partition, "position": log_start}
        self._clickhouse.execute(
            "INSERT INTO _positions (table_name, _log, _partition, position, reason, written_at)"
            " SELECT topic, log, partition, position, 'accepted_loss', now64(3)"
            " FROM input('topic String, log UInt16, partition UInt32, position UInt64') FORMAT JSONEachRow",
            msgspec.json.encode(row),
            {"async_insert": 0, "wait_end_of_query": 1},
        )

    def accepted(self, log: int, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset of *topic* below which a person has accepted losses, by partition of *log*."""
        replicas.check_complete(self._clickhouse, "_positions")
        rows = self._clickhouse.query(
            "SELECT _partition, max(position) AS position FROM _positions"
            " WHERE table_name = {topic:String} AND _log = {log:UInt16}"
            " AND has({partitions:Array(UInt32)}, _partition) GROUP BY _partition",
            {"topic": topic, "log": log, "partitions": sorted(partitions)},
        )
        return {int(row["_partition"]): int(row["position"]) for row in rows}

    def _insert(self, log: int, identity: LogIdentity) -> None:
        # Of several workers that register an id at once, the token lets the first one win.
        self._clickhouse.execute(
            "INSERT INTO _logs (id, cluster_id, topic_prefix, topic_version, partitions, added_at)"
            " SELECT id, cluster_id, topic_prefix, topic_version, partitions, now64(3) FROM input("
            "'id UInt16, cluster_id String, topic_prefix String, topic_version String, partitions UInt32')"
            " FORMAT JSONEachRow",
            msgspec.json.encode({"id": log, **msgspec.to_builtins(identity)}),
            _INSERT_SETTINGS | {"insert_deduplication_token": f"log:{log}"},
        )


def find(registered: Sequence[RegisteredLog], identity: LogIdentity) -> int | None:
    """Return the id of *identity* among *registered*, None if it is not there."""
    return next((each.id for each in registered if each.identity == identity), None)


def refusal(
    identity: LogIdentity, registered: Sequence[RegisteredLog], rows: Sequence[int], database: str
) -> ForeignDatabaseError:
    """Return why *identity* must not write into *database*, which has *rows* of these logs, and what to do."""
    if not registered:
        return ForeignDatabaseError(
            f"The database {database} has rows of log {', '.join(map(str, rows))}, but its table _logs is empty, so "
            f"nothing tells whether they are of {identity}. Restore _logs from a backup. If they are of this Kafka, "
            f"run `sequence positions add-log --id {rows[0]}`. Otherwise set another SEQUENCE_CLICKHOUSE_DATABASE."
        )
    for each in registered:
        if replace(each.identity, partitions=identity.partitions) == identity:
            return ForeignDatabaseError(
                f"The database {database} belongs to {each.identity}, but now there are {identity.partitions} "
                f"partitions. The number of partitions cannot change. Set a new SEQUENCE_TOPIC_PREFIX and another "
                f"SEQUENCE_CLICKHOUSE_DATABASE."
            )
    return ForeignDatabaseError(
        f"The database {database} belongs to another deployment: {listed(registered)}. This is {identity}. Set "
        f"another SEQUENCE_CLICKHOUSE_DATABASE for another deployment. If this Kafka replaces the other for good, run "
        f"`sequence positions add-log`."
    )


def listed(registered: Sequence[RegisteredLog]) -> str:
    """Return the logs with their ids, for a message."""
    return "; ".join(f"{each.identity} (log {each.id})" for each in registered)
