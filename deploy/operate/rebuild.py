"""`sequence tables rebuild`: replaces the tables of an older version, and lets the sink fill new ones from the topics.

No row is dropped: an old table is renamed. The steps are in an order in which an interruption can be followed by a
repetition: the sink's offsets are set back first, which alone changes nothing, and the record of the migrations is
renamed last of all tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.errors import OperateError
from deploy.operate import offsets
from deploy.operate.events_log import TABLES as WITH_SOURCE_OFFSETS
from deploy.operate.events_log import first_source_offset
from deploy.operate.offsets import Group
from deploy.operate.servers import Servers
from processors.clickhouse import migrate
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import OutdatedTablesError
from schemas.clickhouse import PERSONS, TABLES
from schemas.settings import KafkaSettings
from schemas.topics import Topics

SUFFIX = "_before_rebuild"
KEPT_IN_PLACE = frozenset({"_logs", "replays", "lag", "removals"})
"""Tables that stay as they are: the IDs of the logs are in the rows, and no topic has the replays, the lag and what
retention removed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rebuild would do."""

    renames: Sequence[str]
    """Tables to rename; empty if the tables are those of this version."""
    views: Sequence[str]
    """Views of the pipeline, which are created anew."""
    only_old: dict[str, int]
    """Rows by table that `events.v1` does not have any more. They are only in the renamed tables."""
    kept: int
    """Positions below which rows were removed on purpose. `events.v1` may have these rows."""
    others: Sequence[str]
    """Materialized views of the owner that read a table to be renamed."""


def make_plan(servers: Servers) -> Plan:
    """Return what is to be done; raises `OperateError` if a name that a table would get is taken, or on a cluster."""
    servers.refuse_cluster("sequence tables rebuild")
    try:
        migrate.pending(servers.clickhouse)
    except OutdatedTablesError:
        return _plan(servers)
    return Plan((), (), {}, 0, ())


def _plan(servers: Servers) -> Plan:
    files = migrate.read_migrations()
    ours = [name for file in files for name in file.tables if name not in KEPT_IN_PLACE]
    with servers.tables() as clickhouse:
        existing = _tables(clickhouse)
        renames = [name for name in [*ours, migrate.RECORD] if name in existing]
        if taken := [f"{name}{SUFFIX}" for name in renames if f"{name}{SUFFIX}" in existing]:
            raise OperateError(
                f"{', '.join(taken)} exists from an earlier rebuild. Drop or rename it, then run `sequence tables "
                "rebuild` again."
            )
        return Plan(
            renames,
            [name for file in files for name in file.views if name in existing],
            _only_old(servers, clickhouse, renames),
            _kept(clickhouse) if "_positions" in existing else 0,
            _other_views(clickhouse, ours),
        )


def carry_out(servers: Servers, plan: Plan, say: Callable[[str], None]) -> list[str]:
    """Rename the tables, set the sink back to the beginning of its topics and apply the migrations; return their names.

    Calls *say* before a wait for the sink's sessions. Raises `OperateError` while a sink runs, and changes nothing.
    """
    topics = Topics(servers.kafka.topic_prefix)
    name = f"{topics.prefix}-sink"
    group = servers.ask_kafka(lambda kafka: offsets.group_without_members(kafka, name, topics.of_tables, say))
    starts = {(read.topic, read.partition): read.log_start for read in group.inputs.values()}
    servers.ask_kafka(lambda kafka: offsets.commit(kafka, name, starts))
    with servers.tables() as clickhouse:
        for view in plan.views:
            clickhouse.execute(f"DROP VIEW IF EXISTS {view}")
        for table in plan.renames:
            clickhouse.execute(f"RENAME TABLE {table} TO {table}{SUFFIX}")
    with servers.named():
        return migrate.migrate(servers.clickhouse)


def sink_group(servers: Servers) -> Group:
    """Return the sink's consumer group with the partitions of all of its topics."""
    topics = Topics(servers.kafka.topic_prefix)
    return servers.ask_kafka(lambda kafka: offsets.group(kafka, f"{topics.prefix}-sink", topics.of_tables))


def count_rows(servers: Servers) -> dict[str, int]:
    """Return the number of rows of each table that the sink fills, replays before a merge included."""
    with servers.tables() as clickhouse:
        rows = clickhouse.query(
            "SELECT name, total_rows AS rows FROM system.tables WHERE database = currentDatabase()"
            " AND has({tables:Array(String)}, name)",
            {"tables": [table.name for table in TABLES]},
        )
    return {str(row["name"]): int(row["rows"] or 0) for row in rows}


def _tables(clickhouse: ClickHouse) -> set[str]:
    return {
        str(row["name"])
        for row in clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    }


def _only_old(servers: Servers, clickhouse: ClickHouse, renames: Sequence[str]) -> dict[str, int]:
    """Return how many rows of each table precede what its topic has; persons.v1 keeps the state of every person."""
    group = sink_group(servers)
    firsts = servers.ask_kafka(lambda kafka: _first_source_offsets(kafka, group))
    found = {}
    for table in WITH_SOURCE_OFFSETS:
        if table.name not in renames:
            continue
        available = " OR ".join(
            f"(_partition = {partition} AND _origin >= {first})"
            for (topic, partition), first in sorted(firsts.items())
            if topic.endswith(f".{table.topic}")
        )
        rows = clickhouse.query(f"SELECT count() AS rows FROM {table.name} WHERE NOT ({available or '0'})")  # noqa: S608  # our own names and numbers
        if count := int(rows[0]["rows"]):
            found[table.name] = count
    return found


async def _first_source_offsets(kafka: KafkaSettings, group: Group) -> dict[tuple[str, int], int]:
    """Return the source offset of the first record of each partition that has records with source offsets."""
    found = {}
    for key, read in group.inputs.items():
        if (
            not read.topic.endswith(f".{PERSONS.topic}")
            and (first := await first_source_offset(kafka, read)) is not None
        ):
            found[key] = first
    return found


def _kept(clickhouse: ClickHouse) -> int:
    rows = clickhouse.query("SELECT count() AS kept FROM _positions FINAL WHERE reason = 'kept'")
    return int(rows[0]["kept"])


def _other_views(clickhouse: ClickHouse, ours: Sequence[str]) -> list[str]:
    """Return the materialized views that read one of *ours*."""
    rows = clickhouse.query(
        "SELECT dependencies_table AS views FROM system.tables WHERE database = currentDatabase()"
        " AND has({ours:Array(String)}, name)",
        {"ours": list(ours)},
    )
    return sorted({str(view) for row in rows for view in row["views"]})
