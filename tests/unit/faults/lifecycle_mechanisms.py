"""Mechanisms of erasure, backups, field rules and migrations, each as a question that its mutant answers with no."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from deploy.operate import backup, backup_statements
from gateway.projects import registry
from processors.clickhouse import partition_key
from processors.engine.stage import SourceRecord
from processors.persons.stage import FoldStage
from processors.rejected_topic import RejectedTopic
from processors.sink.erased import ErasedRows
from processors.sink.rows import item_rows
from schemas.field_rules import FieldRuleSetting
from schemas.projects import ProjectCreation, encode_entry
from schemas.records import encode_item, identify_headers
from schemas.topics import Topics
from tests.fakes.followed_projects import MemoryProjects
from tests.fakes.outputs import MemoryOutputs
from tests.support.records import SlimRecord, event_read, identify, track

ERASURE = "a" * 16


async def rows_of_erased_users_are_left_out() -> bool:
    projects = MemoryProjects()
    projects.erase(ERASURE, "ann", items=3)
    records = [event_read(at, track(f"m{at}", user_id="ann"), source_offset=at) for at in (2, 3)]
    written, left_out = ErasedRows(projects).divide(item_rows(records, 1, 0).events)
    assert 3 in [row.source_offset for row in written]
    return [each.row.source_offset for each in left_out] == [2]


async def identifies_of_erased_users_are_left_out() -> bool:
    projects = MemoryProjects()
    projects.erase(ERASURE, "ann", items=3)
    outputs = RejectedTopic(MemoryOutputs(), Topics("s"), "persons")
    stage = FoldStage(Topics("s"), cast("Any", None), outputs, projects)
    sent = identify("m", user_id="ann")

    def folded(source_offset: int) -> bool:
        record: SourceRecord = SlimRecord(
            0, b"p/ann", encode_item(sent), headers=identify_headers(b"m", source_offset, 0)
        )
        return stage._after_erasures(record, sent) is not None

    assert folded(3)
    return not folded(2)


async def notes_are_saved_before_rows() -> bool:
    statements: list[str] = []

    @contextmanager
    def attached(*_: object) -> Iterator[None]:
        yield

    def run(sql: str, _: object) -> int:
        statements.append(sql)
        return 0

    runs = SimpleNamespace(settings=lambda *_: {}, run=run, attached=attached)
    plan = SimpleNamespace(destination=backup_statements.parse("File('/backups')"))
    saving: Any = SimpleNamespace(
        _runs=runs, _plan=plan, _database="d", _reading="r", _place="elsewhere", _read=lambda *_: None
    )
    backup._Backup._save(saving, "name", None, ["_logs", "_positions", "events"], [])
    saved = [next(table for table in ("_logs", "_positions", "events") if f"`{table}`" in sql) for sql in statements]
    assert sorted(saved) == ["_logs", "_positions", "events"]
    return saved.index("_positions") < saved.index("events")


async def gateway_knows_the_rules_that_were_set_before_its_start() -> bool:
    consumer: Any = Consumer(
        [
            encode_entry(ProjectCreation("p", "Shop", 1), "p", "0" * 16),
            encode_entry(FieldRuleSetting("drop"), "p", "properties.card"),
        ]
    )
    project = (await registry.read_to_end(consumer)).projects["p"]
    return [str(rule) for rule in project.field_rules] == ["drop properties.card"]


class Consumer:
    """Has read `projects.v1` after one batch."""

    def __init__(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        self._records = [SlimRecord(offset, *each) for offset, each in enumerate(records)]
        self._position = 0

    def assignment(self) -> list[int]:
        return [0]

    async def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, len(self._records))

    async def position(self, _: int) -> int:
        return self._position

    async def getmany(self, timeout_ms: int) -> dict[int, list[SlimRecord]]:
        del timeout_ms
        self._position = len(self._records)
        return {0: self._records}


class CopiedTable:
    """A server with a table of three rows that is to be copied."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self._settings = ""

    def query(self, sql: str, *_: object) -> list[dict[str, Any]]:
        engine = f"MergeTree PARTITION BY a ORDER BY a SETTINGS b = 1{self._settings}"
        if "system.processes" in sql:
            return []
        facts = {"engine": engine, "engine_full": engine, "partition_key": "a", "needed": 0, "free": 1}
        return [{**facts, "rows": 3, "id": "all", "uuid": "u"}]

    def execute(self, sql: str, *_: object) -> int:
        self.statements.append(sql)
        if sql.endswith(" MODIFY SETTING max_parts_in_total = 0"):
            self._settings = ", max_parts_in_total = 0"
        return 3


async def table_takes_no_rows_while_it_is_copied() -> bool:
    server = CopiedTable()
    partition_key.change(cast("Any", server), partition_key.NewKey("events", "b"))
    [closed, *_] = [*(sql.startswith("ALTER TABLE events MODIFY SETTING") for sql in server.statements), False]
    assert "EXCHANGE TABLES events_new_key AND events" in server.statements
    return closed
