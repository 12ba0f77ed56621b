"""Mechanisms of retention, each as a question that its mutant answers with no."""

from __future__ import annotations

from typing import Any, cast

from processors.clickhouse.client import ClickHouse
from processors.retention.store import RetentionStore
from schemas.clickhouse import EVENTS

WEEK = "20261005"


class Recorded:
    """A server that has one removal, and remembers its statements."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def query(self, *_: object) -> list[dict[str, Any]]:
        return [{"project_id": "p", "number": 0, "rows": 6, "_left": 0, "oldest": 1, "newest": 2, "done": 0}]

    def execute(self, sql: str, *_: object) -> int:
        self.statements.append(sql)
        return 0


async def removal_that_was_interrupted_is_known() -> bool:
    found = RetentionStore(cast("ClickHouse", Recorded())).removals(EVENTS, WEEK, ["p"])
    return [(each.rows, each.is_done) for each in found] == [(6, False)]


async def positions_of_removed_rows_are_noted() -> bool:
    server = Recorded()
    RetentionStore(cast("ClickHouse", server)).keep_positions(EVENTS, WEEK, "1")
    return any(sql.startswith("INSERT INTO _positions ") for sql in server.statements)
