"""A database with tables, their catalogue and typed views, for tests of these views."""

from __future__ import annotations

import secrets
from typing import Any

from processors.clickhouse.client import ClickHouse
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, item_rows
from processors.typed_views.naming import database_name
from processors.typed_views.refresh import ViewRefresher
from processors.typed_views.store import ViewStore
from schemas.clickhouse import EVENTS, IDENTIFIES
from schemas.items import Identify, Track
from tests.contracts.sinks import valid_lease
from tests.support import databases, services
from tests.support.counted import count
from tests.support.records import event_read


class Warehouse:
    """Tables with a catalogue, in a database of the test, and its views."""

    def __init__(self, url: str) -> None:
        made = services.clickhouse_settings(url, f"test_{secrets.token_hex(4)}")
        databases.create(made)
        self.client = ClickHouse(made, answer_seconds=60)
        self.sink = ClickHouseSink(self.client)
        self.base = made.database
        self.store = ViewStore(self.client)
        self.refresher = ViewRefresher(self.store)
        self._next = 0

    def write(self, *items: Track | Identify) -> None:
        """Write *items* and count them."""
        records = [event_read(self._next + at, item, source_offset=self._next + at) for at, item in enumerate(items)]
        self._next += len(items)
        rows = item_rows(records, 1, 0)
        assert rows.rejected == []
        for table, of_table in ((EVENTS, rows.events), (IDENTIFIES, rows.identifies)):
            if of_table:
                self.sink.insert([Block(table, 0, of_table)], valid_lease)
        count(self.client)

    def made(self) -> list[str]:
        """Refresh and return the views that were made."""
        return [name for done in self.refresher.refresh() for name in done.made]

    def rows(self, sql: str, project: str = "p") -> list[dict[str, Any]]:
        """Return the rows of *sql*, in which `{}` is the database of *project*."""
        return self.client.query(sql.replace("{}", f"`{database_name(self.base, project)}`"))

    def types(self, view: str, project: str = "p") -> dict[str, str]:
        """Return the type of each column of *view*."""
        rows = self.client.query(
            "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {view:String}",
            {"database": database_name(self.base, project), "view": view},
        )
        return {row["name"]: row["type"] for row in rows}

    def drop(self) -> None:
        found = self.client.query(
            f"SELECT name FROM system.databases WHERE startsWith(name, '{self.base}') ORDER BY name DESC"  # noqa: S608
        )
        for row in found:
            self.client.execute(f"DROP DATABASE `{row['name']}`")
        self.client.close()
