"""Tables that a migration copies: which they are, what is said meanwhile, and what is left out for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, cast

import pytest
from click.testing import CliRunner

from deploy.cli import main
from processors.clickhouse import copied_tables, migrate
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import Migration
from processors.clickhouse.migration_plan import CopiedTable, Plan
from schemas.settings import ClickHouseSettings

WEEKLY = [
    f"ALTER TABLE {table} MODIFY PARTITION BY toMonday(received_at)" for table in ("events", "identifies", "gone")
]


class Server:
    """Two tables, one of which has the key already; remembers its statements."""

    def __init__(self, *_: object, **__: object) -> None:
        self.cluster = ""
        self.executed: list[str] = []

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        if "system.disks" in sql:
            return [{"free": 5_000}]
        if "partition_key" in sql:
            old = {
                "name": "events",
                "partition_key": "toYYYYMM(received_at)",
                "rows": 10,
                "size": "4000",
                "raw": "9000",
            }
            tables = [old, old | {"name": "identifies", "partition_key": "toMonday(received_at)"}]
            return [table for table in tables if table["name"] in (parameters or {})["tables"]]
        return [{"name": "events_new_key", "rows": "7"}]

    def execute(self, sql: str, *_: object) -> int:
        self.executed.append(sql)
        return 0

    def close(self) -> None:
        """Do nothing."""


def test_plan_has_the_tables_that_exist_and_have_another_key() -> None:
    plan = copied_tables.make_plan(cast("ClickHouse", Server()), "sequence", ["0017.sql"], WEEKLY)

    assert plan == Plan(["0017.sql"], [CopiedTable("events", 10, 4_000, 9_000)], 5_000)


def test_plan_of_migrations_that_copy_nothing_has_no_copies() -> None:
    plan = copied_tables.make_plan(cast("ClickHouse", Server()), "sequence", ["0012.sql"], ["SELECT 1"])

    assert plan == Plan(["0012.sql"])


def test_progress_is_told_while_a_table_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copied_tables, "ClickHouse", Server)
    monkeypatch.setattr(copied_tables, "PROGRESS_SECONDS", 0.001)
    said, told = list[str](), threading.Event()

    def say(line: str) -> None:
        said.append(line)
        told.set()

    plan = Plan(["0017.sql"], [CopiedTable("events", 10, 4_000, 9_000)], 5_000)
    with copied_tables.progress_told(ClickHouseSettings(), plan, say):
        assert told.wait(10)

    assert said[0] == "events: 7 of 10 rows are copied."


def test_index_of_a_table_that_is_copied_is_not_built_twice() -> None:
    server = Server()
    statements = [f"ALTER TABLE {table} MATERIALIZE INDEX origin" for table in ("events", "identifies")]
    migration = Migration("0012.sql", ";\n".join(statements))
    migrate._apply(cast("ClickHouse", server), ClickHouseSettings(), migration, {"events"})

    assert [sql for sql in server.executed if "MATERIALIZE" in sql] == statements[1:]


@pytest.mark.parametrize(
    ("plan", "printed"),
    [(Plan(["0012.sql"]), "To apply: 0012.sql.\n"), (Plan([]), "No migrations to apply.\n")],
)
def test_dry_run_prints_the_plan_and_migrates_nothing(
    monkeypatch: pytest.MonkeyPatch, plan: Plan, printed: str
) -> None:
    monkeypatch.setattr(migrate, "plan", lambda _: plan)
    monkeypatch.setattr(migrate, "migrate", lambda *_, **__: pytest.fail("it migrates"))
    done = CliRunner().invoke(main, ["tables", "migrate", "--dry-run"])

    assert (done.exit_code, done.stdout) == (0, printed)
