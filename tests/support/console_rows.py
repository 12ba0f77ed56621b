"""Rows for the tests of the console's queries, written as JSON lines by the login that may write."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.settings import ClickHouseSettings
from schemas.times import SECOND, format_time
from tests.support.clickhouse_http import ClickHouseHttp

WARNING = {"code": "number_as_id", "field": "userId", "sent": ""}


@dataclass
class Rows:
    """Adds rows to the tables of *settings*; each has a place of its own."""

    settings: ClickHouseSettings
    _origins: Any = field(default_factory=itertools.count)

    def add(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert *rows* of *table*, with defaults for what they lack."""
        self.insert(table, ({**self._default(table), **row} for row in rows))

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert *rows* of *table* as they are."""
        body = "\n".join(map(json.dumps, rows))
        sql = f"INSERT INTO {table} FORMAT JSONEachRow"
        ClickHouseHttp.of(self.settings).query(body, query=sql, json_type_escape_dots_in_keys=1)

    def _default(self, table: str) -> dict[str, Any]:
        number = next(self._origins)
        place = {"_log": 1, "_partition": number % 4, "_origin": number}
        item = {"project_id": "dev", "message_id": f"m{number}", "user_id": "ada", **place}
        if table == "rejected":
            return item | {
                "stage": "gateway",
                "code": "event_required",
                "field": "event",
                "message": "`event` is required.",
                "type": "track",
                "content": '{"type":"track"}',
                "source_topic": "rejected.v1",
                "source_partition": number % 4,
                "source_offset": number,
            }
        if table == "duplicates":
            return item | {"type": "track", "event": "Clicked", "content": '{"type":"track"}', "first_origin": 0}
        item |= {"context": "{}", "integrations": "{}", "_warnings": []}
        return item | ({"event": "Clicked", "properties": {}} if table == "events" else {"traits": {}})


def at(micros: int) -> dict[str, str]:
    """Return the columns with the time of receipt *micros*, in microseconds since 1970."""
    text = format_time(micros).replace("T", " ").removesuffix("Z")
    return {"received_at": text}


def times(micros: int) -> dict[str, str]:
    """Return the columns of an item that was received and happened at *micros*."""
    return {**at(micros), "timestamp": at(micros)["received_at"]}


def add_one_of_each(rows: Rows, micros: int, name: str = "") -> None:
    """Add an item of each table that was received at *micros*; *name* makes its messageId unique."""
    rows.add("events", [{**times(micros), "message_id": f"e{name}", "properties": {"n": 1}, "_warnings": [WARNING]}])
    rows.add("identifies", [{**times(micros), "message_id": f"i{name}", "traits": {"n": 1}, "traits_null_keys": ["x"]}])
    rows.add("duplicates", [{**at(micros), "message_id": f"d{name}"}])
    rows.add("rejected", [{**at(micros), "rejected_at": at(micros)["received_at"], "message_id": f"r{name}"}])


__all__ = ["SECOND", "WARNING", "Rows", "add_one_of_each", "at", "times"]
