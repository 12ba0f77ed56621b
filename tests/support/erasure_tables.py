"""The tables of a database with the keeper of its erasures, and what Kafka and the projects say to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from processors.clickhouse.client import ClickHouse
from processors.engine.metrics import WorkerMetrics
from processors.erasures.keeper import ErasureKeeper
from processors.erasures.store import ErasureStore
from schemas.topics import Topics
from tests.fakes.erasures import CLUSTER, PROJECT, MemoryDecisions, MemoryKafka
from tests.support import databases
from tests.support.services import eventually

DAY = "2026-11-30 {:02}:00:00"
ITEM = "project_id, user_id, message_id, timestamp, received_at, _log, _partition, _origin"


@dataclass
class Tables:
    """The tables of a database, and the keeper of its erasures."""

    client: ClickHouse
    projects: MemoryDecisions
    kafka: MemoryKafka
    keeper: ErasureKeeper

    def item(self, table: str, user: str, origin: int, *, hour: int = 1, log: int = 1, project: str = PROJECT) -> None:
        at = DAY.format(hour)
        values = f"'{project}', '{user}', 'm{origin}', '{at}', '{at}', {log}, 0, {origin}"
        self.client.execute(f"INSERT INTO {table} ({ITEM}) VALUES ({values})")  # noqa: S608

    def insert(self, table: str, **values: Any) -> None:
        row = {"project_id": PROJECT, "_log": 1, "_partition": 0} | values
        body = json.dumps(row).encode()
        self.client.execute(f"INSERT INTO {table} ({', '.join(row)}) FORMAT JSONEachRow", body)

    def users(self, table: str) -> list[str]:
        """The users of the rows, by source offset."""
        rows = self.client.query(f"SELECT user_id FROM {table} ORDER BY _log, _origin")  # noqa: S608
        return [row["user_id"] for row in rows]

    def origins(self, table: str) -> list[int]:
        """The source offsets of the rows."""
        return [int(row["_origin"]) for row in self.client.query(f"SELECT _origin FROM {table} ORDER BY 1")]  # noqa: S608

    def row(self) -> dict[str, Any]:
        """The row of the only erasure."""
        [row] = self.client.query("SELECT * FROM erasures FINAL")
        return row

    def masked_parts(self) -> int:
        """The number of parts, old ones included, that have rows which a query does not see."""
        [row] = self.client.query(
            "SELECT countIf(has_lightweight_delete) AS parts FROM system.parts WHERE database = currentDatabase()"
        )
        return int(row["parts"])

    def until(self, condition: Callable[[], bool], what: str, *, within_seconds: float = 20) -> None:
        """Let the keeper look until *condition* holds."""

        def looked() -> bool:
            self.keeper.look()
            return condition()

        eventually(looked, what, within_seconds=within_seconds, output=lambda: str(self.row()))

    def until_status(self, status: str) -> dict[str, Any]:
        self.until(lambda: self.row()["status"] == status, status)
        return self.row()


@contextmanager
def erasure_tables(url: str) -> Iterator[Tables]:
    """Yield the tables, in a database that is dropped at the end."""
    with databases.database(url) as settings:
        client = ClickHouse(settings)
        client.execute(f"INSERT INTO _logs VALUES (1, '{CLUSTER}', 'sequence', 'v1', 1, now64(3))")  # noqa: S608
        client.execute("ALTER TABLE events MODIFY SETTING old_parts_lifetime = 1")
        projects, kafka = MemoryDecisions(), MemoryKafka()
        keeper = ErasureKeeper(ErasureStore(client), kafka, projects, WorkerMetrics(), Topics())
        yield Tables(client, projects, kafka, keeper)
        client.close()
