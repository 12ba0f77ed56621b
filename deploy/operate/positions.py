"""Positions of the tables: where the sink continues, and the notes that an operator adds.

A position is a source offset. Every row up to it is written, rejected or removed on purpose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.errors import OperateError
from deploy.operate import offsets
from deploy.operate.servers import Servers
from processors.clickhouse.client import ClickHouse
from processors.sink.insert import ClickHouseSink
from processors.sink.positions import PositionReason, position_of
from schemas.clickhouse import TABLES, Table
from schemas.topics import Topics


@dataclass(frozen=True, slots=True)
class Shown:
    """What a table shows of one partition of one log."""

    table: Table
    log: int
    partition: int
    of_rows: int | None
    """Highest source offset among the rows."""
    noted: int | None
    """Highest position in `_positions`."""
    reasons: tuple[str, ...]
    """Why positions are noted."""
    position: int
    """Where the sink continues, -1 at the beginning."""


def read(clickhouse: ClickHouse, tables: Sequence[Table] = TABLES) -> list[Shown]:
    """Return the positions of *tables*, of every log."""
    return [shown for table in tables for shown in _read_table(clickhouse, table)]


def _read_table(clickhouse: ClickHouse, table: Table) -> Iterator[Shown]:
    rows = clickhouse.query(
        f"SELECT _log, _partition, max(_origin) AS position FROM {table.name} GROUP BY _log, _partition"  # noqa: S608  # our own name
    )
    of_rows = {(int(row["_log"]), int(row["_partition"])): int(row["position"]) for row in rows}
    notes = clickhouse.query(
        "SELECT _log, _partition, after, position, reason FROM _positions WHERE table_name = {table:String}",
        {"table": table.name},
    )
    noted: dict[tuple[int, int], list[tuple[int, int, str]]] = defaultdict(list)
    for row in notes:
        key = int(row["_log"]), int(row["_partition"])
        noted[key].append((int(row["after"]), int(row["position"]), str(row["reason"])))
    for log, partition in sorted(of_rows.keys() | noted.keys()):
        shown, entries = of_rows.get((log, partition)), noted[log, partition]
        yield Shown(
            table,
            log,
            partition,
            shown,
            max((position for _, position, _ in entries), default=None),
            tuple(sorted({reason for _, _, reason in entries})),
            position_of(-1 if shown is None else shown, [(after, position) for after, position, _ in entries]),
        )


def kept(clickhouse: ClickHouse, log: int) -> dict[tuple[str, int], int]:
    """Return by table and partition the position up to which rows were removed on purpose."""
    rows = clickhouse.query(
        "SELECT table_name, _partition, max(position) AS kept FROM _positions"
        " WHERE _log = {log:UInt16} AND reason = {reason:String} GROUP BY table_name, _partition",
        {"log": log, "reason": PositionReason.KEPT.value},
    )
    return {(str(row["table_name"]), int(row["_partition"])): int(row["kept"]) for row in rows}


def show(servers: Servers) -> list[dict[str, Any]]:
    """Return each table, log and partition with its position and what the sink has committed of its topic."""
    topics = Topics(servers.kafka.topic_prefix)
    group = servers.ask_kafka(lambda kafka: offsets.group(kafka, f"{topics.prefix}-sink", topics.of_tables))
    with servers.tables() as clickhouse:
        shown = read(clickhouse)
    return [_describe(each, topics, group) for each in shown]


def _describe(shown: Shown, topics: Topics, group: offsets.Group) -> dict[str, Any]:
    topic = f"{topics.prefix}.{shown.table.topic}"
    read_by_sink = group.inputs.get((topic, shown.partition))
    return {
        "table": shown.table.name,
        "log": shown.log,
        "partition": shown.partition,
        "position": shown.position,
        "rowPosition": shown.of_rows,
        "notedPosition": shown.noted,
        "reasons": list(shown.reasons),
        "topic": topic,
        "logStart": None if read_by_sink is None else read_by_sink.log_start,
        "logEnd": None if read_by_sink is None else read_by_sink.log_end,
        "committed": None if read_by_sink is None else read_by_sink.committed,
        "committedPosition": None if read_by_sink is None else read_by_sink.noted_positions().get(shown.table.name),
        "lag": None if read_by_sink is None else read_by_sink.lag,
    }


def keep(servers: Servers, names: Sequence[str]) -> list[Shown]:
    """Note the positions of the tables *names*, all if empty, as kept: rows removed afterwards are not written again.

    Returns what was noted. Raises `OperateError` for an unknown table.
    """
    tables = [table for table in TABLES if not names or table.name in names]
    if unknown := set(names) - {table.name for table in tables}:
        known = ", ".join(table.name for table in TABLES)
        raise OperateError(f"No such table: {', '.join(sorted(unknown))}. The sink writes {known}.")
    with servers.tables() as clickhouse:
        sink = ClickHouseSink(clickhouse)
        found = [shown for shown in read(clickhouse, tables) if shown.position >= 0]
        for shown in found:
            sink.note_position(shown.table, shown.log, shown.partition, shown.position, PositionReason.KEPT)
    return found
