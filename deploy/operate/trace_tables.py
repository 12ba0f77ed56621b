"""What the tables know of a messageId. Each table has a skip index on `message_id`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.operate import positions
from deploy.operate.trace_result import Facts, First, Occurrence, Place, Rejected
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.sink.logs import ClickHouseLogs, RegisteredLog
from schemas.clickhouse.quoting import literal
from schemas.items import ItemWarning

Row = Mapping[str, Any]
_PLACE = ("_log", "_partition", "_origin", "_part")
_TIME_OF_ROW = "concat(replaceOne(toString(timestamp), ' ', 'T'), 'Z') AS time"
_TIME_OF_CONTENT = "JSONExtractString(content, 'timestamp') AS time"
_COLUMNS = {
    "events": ("project_id", "'track' AS type", "event", "user_id", "received_at", _TIME_OF_ROW, "_warnings", "_token"),
    "identifies": (
        *("project_id", "'identify' AS type", "'' AS event", "user_id", "received_at", _TIME_OF_ROW, "_warnings"),
        "_token",
    ),
    "duplicates": (
        *("project_id", "type", "event", "user_id", "received_at", _TIME_OF_CONTENT, "first_origin", "same_content"),
        "_token",
    ),
    "rejected": (
        *("project_id", "stage", "code", "field", "message", "type", "event", "user_id", "received_at"),
        _TIME_OF_CONTENT,
        *("rejected_at", "request_id", "source_topic", "source_partition", "source_offset", "_token"),
    ),
}
_DENIED = 497
_MOST_ROWS = 10_000
"""Rows of a table that are shown."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows with a messageId, by table."""

    of: Mapping[str, Sequence[Row]]
    written: Mapping[tuple[str, str], str]
    """When each part that has one of them was written, by table and part. Those that a merge wrote are left out."""
    logs: Sequence[RegisteredLog] = ()

    @property
    def tables(self) -> list[str]:
        """The tables that were searched."""
        return list(self.of)


def read_rows(clickhouse: ClickHouse, message_id: str, project_id: str | None) -> Rows:
    """Return the rows of *message_id*, of all projects if *project_id* is None; raises `ClickHouseError`."""
    existing = {
        row["name"] for row in clickhouse.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    }
    where = " WHERE message_id = {message_id:String}" + (" AND project_id = {project:String}" if project_id else "")
    parameters = {"message_id": message_id, "project": project_id or ""}
    rows = {
        table: clickhouse.query(
            f"SELECT {', '.join((*columns, *_PLACE))} FROM {table}{where} LIMIT {_MOST_ROWS}",  # noqa: S608  # our own names
            parameters,
        )
        for table, columns in _COLUMNS.items()
        if table in existing
    }
    logs = ClickHouseLogs(clickhouse, clickhouse.database).registered() if "_logs" in existing else []
    return Rows(rows, _written(clickhouse, rows), logs)


@dataclass(frozen=True, slots=True)
class Removals:
    """What was removed on purpose."""

    erasures: Mapping[tuple[str, int, int, int], str]
    """ID of the erasure that covers a row, by its table, log, partition and source offset."""
    kept: Mapping[int, Mapping[tuple[str, int], int]]
    """Position up to which rows were removed, by log, then by table and partition."""


def read_removals(clickhouse: ClickHouse, missing: Sequence[Occurrence]) -> Removals:
    """Return what was removed where *missing* would be, of which there is at least one; raises `ClickHouseError`."""
    places = ", ".join(f"({literal(table)}, {log}, {at}, {offset})" for table, log, at, offset in map(_place, missing))
    place = "table_name, _log, _partition, _origin"
    rows = clickhouse.query(
        f"SELECT {place}, any(erasure) AS id FROM _removed WHERE ({place}) IN ({places}) GROUP BY {place}"  # noqa: S608  # numbers and a literal
    )
    erasures = {
        (str(row["table_name"]), int(row["_log"]), int(row["_partition"]), int(row["_origin"])): str(row["id"])
        for row in rows
    }
    logs = {log for _, log, _, _ in map(_place, missing)}
    return Removals(erasures, {log: positions.kept(clickhouse, log) for log in logs})


def add_removals(missing: Iterable[Occurrence], removals: Removals) -> None:
    """Say of each of *missing* whether it was removed on purpose."""
    for each in missing:
        table, log, partition, offset = place = _place(each)
        if (erasure := removals.erasures.get(place)) is not None:
            each.row, each.erasure = "erased", erasure
        elif offset <= removals.kept[log].get((table, partition), -1):
            each.row = "removed"


def _place(each: Occurrence) -> tuple[str, int, int, int]:
    return each.table or "", each.log or 0, each.partition or 0, each.offset or 0


def _written(clickhouse: ClickHouse, rows: Mapping[str, Sequence[Row]]) -> dict[tuple[str, str], str]:
    parts = sorted({str(row["_part"]) for found in rows.values() for row in found if is_inserted(str(row["_part"]))})
    if not parts:
        return {}
    try:
        found = clickhouse.query(
            "SELECT table, name, toString(toDateTime64(modification_time, 0, 'UTC')) AS written FROM system.parts"
            " WHERE database = currentDatabase() AND has({parts:Array(String)}, name)",
            {"parts": parts},
        )
    except ClickHouseError as error:
        if error.code != _DENIED:
            raise
        return {}  # `analyst` may not read this table on a server.
    return {(row["table"], row["name"]): _time(row["written"]) for row in found}


def is_inserted(part: str) -> bool:
    """Return whether an INSERT wrote *part*: its name ends with the level 0, and has no number of a mutation."""
    _, *numbers = part.split("_")
    return len(numbers) == 3 and numbers[-1] == "0"


def add_rows(facts: Facts, rows: Rows) -> None:
    """Add the occurrences of *rows* to *facts*, but for rejections."""
    for table, found in rows.of.items():
        if table == "rejected":
            continue
        for row in found:
            each = facts.of_row(int(row["_log"]), _occurrence(row, int(row["_partition"]), int(row["_origin"])))
            each.row, each.table = "visible", table
            each.visible_by = rows.written.get((table, row["_part"]))
            each.dedupe = "duplicate" if table == "duplicates" else "unique"
            if table == "duplicates":
                each.first = First(offset=int(row["first_origin"]))
                each.same_content = row["same_content"]


def add_rejections(facts: Facts, rows: Rows) -> None:
    """Add the rejections of *rows* to *facts*, which has the occurrences."""
    for row in rows.of.get("rejected", ()):
        source = Place(
            topic=row["source_topic"], partition=int(row["source_partition"]), offset=int(row["source_offset"])
        )
        rejected = Rejected(
            stage=row["stage"],
            code=row["code"],
            message=row["message"],
            rejected_at=_time(row["rejected_at"]),
            field=row["field"],
            request_id=row["request_id"],
            place=Place(topic="rejected.v1", partition=int(row["_partition"]), offset=int(row["_origin"])),
            source=None if row["stage"] == "gateway" else source,
        )
        facts.reject(rejected, _occurrence(row), int(row["_log"]))


def _occurrence(row: Row, partition: int | None = None, offset: int | None = None) -> Occurrence:
    return Occurrence(
        project_id=row["project_id"],
        received_at=_time(row["received_at"]),
        timestamp=row["time"],
        type=row["type"],
        event=row["event"],
        user_id=row["user_id"],
        token_id=row["_token"],
        warnings=_warnings(row.get("_warnings", ())),
        partition=partition,
        offset=offset,
    )


def _warnings(found: Iterable[Mapping[str, str]]) -> tuple[ItemWarning, ...]:
    return tuple(ItemWarning(each["code"], each["field"], each["sent"]) for each in found)


def _time(text: str) -> str:
    """Return a time of ClickHouse, in UTC, as records have it."""
    return f"{text.replace(' ', 'T')}Z"
