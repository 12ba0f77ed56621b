"""The rows of a table by source offset: figures of each window, and the offsets of windows that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploy.operate.source_offsets import WINDOW, Figures, SourceOffsets
from processors.clickhouse.client import ClickHouse
from schemas.clickhouse import Table

_WINDOWS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, log and partition, from a source offset to another one, both included."""

    table: Table
    log: int
    partition: int
    first: int
    last: int
    project_id: str = ""
    """Rows of this project only; of all if empty."""
    received_since: float | None = None
    """Only rows that were received since then, in seconds since 1970. ClickHouse skips parts that are older."""
    settings: str = ""
    """Settings of the queries, as in SQL."""

    @property
    def condition(self) -> str:
        """The condition of the rows."""
        conditions = [
            "_log = {log:UInt16}",
            "_partition = {partition:UInt32}",
            "_origin BETWEEN {first:UInt64} AND {last:UInt64}",
        ]
        if self.project_id:
            conditions.append("project_id = {project:String}")
        if self.received_since is not None:
            conditions.append("received_at >= toDateTime64({since:Float64}, 6, 'UTC')")
        return " AND ".join(conditions)

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of the condition."""
        places: dict[str, Any] = {
            "log": self.log,
            "partition": self.partition,
            "first": self.first,
            "last": self.last,
        }
        if self.project_id:
            places["project"] = self.project_id
        if self.received_since is not None:
            places["since"] = self.received_since
        return places

    def since(self, received: float) -> Rows:
        """Return those of the rows that were received since then."""
        return replace(self, received_since=received)

    @property
    def _ending(self) -> str:
        return f" SETTINGS {self.settings}" if self.settings else ""

    def figures(self, clickhouse: ClickHouse) -> dict[int, Figures]:
        """Return the figures of each window, by its number."""
        rows = clickhouse.query(
            f"SELECT intDiv(_origin, {WINDOW}) AS number, count() AS rows, sum(_origin) AS total,"  # noqa: S608  # our own names
            f" sum(_origin * _origin) AS squares FROM {self.table.name} WHERE {self.condition} GROUP BY number"
            f"{self._ending}",
            self.parameters,
        )
        return {int(row["number"]): Figures(int(row["rows"]), int(row["total"]), int(row["squares"])) for row in rows}

    def differing(
        self, clickhouse: ClickHouse, windows: Sequence[int], expected: SourceOffsets
    ) -> Iterator[tuple[set[int], list[int]]]:
        """Yield the source offsets of *expected* and those of the rows, of each of *windows*."""
        for start in range(0, len(windows), _WINDOWS_AT_ONCE):
            some = windows[start : start + _WINDOWS_AT_ONCE]
            rows = self._offsets(clickhouse, some)
            for window in some:
                yield expected.offsets_of(window), rows.get(window, [])

    def erased(self, clickhouse: ClickHouse) -> SourceOffsets:
        """Return the source offsets that an erasure covers and that have no row any more."""
        of_range = (
            "_log = {log:UInt16} AND _partition = {partition:UInt32}"
            " AND _origin BETWEEN {first:UInt64} AND {last:UInt64}"
        )
        listed = f"FROM _removed WHERE table_name = {{table:String}} AND {of_range}"
        there = f"SELECT _origin FROM {self.table.name} WHERE {of_range} AND _origin IN (SELECT _origin {listed})"  # noqa: S608  # our own names
        rows = clickhouse.query(
            f"SELECT DISTINCT _origin {listed} AND _origin NOT IN ({there}){self._ending}",
            {**self.parameters, "table": self.table.name},
        )
        return SourceOffsets(int(row["_origin"]) for row in rows)

    def _offsets(self, clickhouse: ClickHouse, windows: Sequence[int]) -> dict[int, list[int]]:
        """Return the source offset of each row, by window."""
        rows = clickhouse.query(
            f"SELECT intDiv(_origin, {WINDOW}) AS number, groupArray(_origin % {WINDOW}) AS places"  # noqa: S608  # our own names
            f" FROM {self.table.name} WHERE {self.condition}"
            f" AND has({{windows:Array(UInt64)}}, intDiv(_origin, {WINDOW})) GROUP BY number{self._ending}",
            {**self.parameters, "windows": list(windows)},
        )
        return {
            int(row["number"]): [int(row["number"]) * WINDOW + int(place) for place in row["places"]] for row in rows
        }
