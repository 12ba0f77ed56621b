"""`sequence backup` and `sequence restore` on the embedded engine, without Kafka."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from deploy.operate import backup
from deploy.operate.backup_manifest import STEPS
from deploy.operate.backup_runs import Runs
from schemas.settings import environment
from tests.support import databases
from tests.support.backup_tables import DATABASE, LOG, Tables
from tests.support.services import clickhouse_settings, embedded_clickhouse, eventually, running


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of this module: it must see the same files."""
    with running(embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as service:
        yield service.address


@pytest.fixture
def tables(address: str, tmp_path: Path) -> Iterator[Tables]:
    """Tables with a log and 1,000 events."""
    settings = clickhouse_settings(address, DATABASE)
    databases.create(settings)
    made = Tables(settings, tmp_path / "backups")
    made.execute(LOG)
    made.insert(0, 1000)
    yield made
    made.execute(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")


def test_old_backups_are_deleted_and_the_others_can_be_restored(tables: Tables) -> None:
    first, second = tables.backup(), tables.backup()
    tables.insert(1000, 10)
    third, fourth = tables.backup("--full"), tables.backup()
    for name in (first, second, third):
        file = tables.directory / name / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "createdAt": "2026-01-01T00:00:00+00:00"}))
    shown = tables.run("backup", "prune", "DIR", "--older-than", "30", "--dry-run")
    expected = f"{second}: would be deleted\n{first}: would be deleted\n{third}: kept, a newer backup needs it\n"
    assert (shown.exit_code, shown.stdout) == (0, expected)
    assert len(json.loads(tables.run("backup", "list", "DIR", "--json").stdout)) == 4

    tables.run("backup", "prune", "DIR", "--older-than", "30")
    left = json.loads(tables.run("backup", "list", "DIR", "--json").stdout)
    assert [(each["name"], each["complete"]) for each in left] == [(third, True), (fourth, True)]
    again = tables.run("backup", "prune", "DIR", "--older-than", "300")
    assert again.stdout == f"{third}: kept, a newer backup needs it\n"
    assert tables.run("backup", "prune", "DIR", "--older-than", "0").exit_code == 2
    assert tables.restore("--replace", "--yes").exit_code == 0
    assert tables.count() == 1010


def test_restored_tables_are_those_of_the_backup(tables: Tables) -> None:
    digest = "SELECT groupBitXor(cityHash64(message_id, properties.price::Float64, _origin)) FROM sequence.events"
    before = tables.value(digest)
    name = tables.backup()
    tables.execute(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")

    restored = tables.restore()

    assert restored.exit_code == 0, restored.output
    assert f"{name} is restored." in restored.output
    assert (tables.count(), tables.value(digest)) == (1000, before)
    assert tables.value("SELECT cluster_id FROM sequence._logs") == "cluster"
    assert tables.value("SELECT sum(received) FROM sequence.ledger WHERE stage = 'sink'") == "1000"
    assert tables.run("tables", "migrate").output == "No migrations to apply.\n"
    assert tables.value("SELECT count() FROM system.databases WHERE name LIKE '%_of_%'") == "0"
    tables.insert(1000, 10)
    assert tables.count() == 1010


def test_incremental_backup_copies_only_new_parts(tables: Tables) -> None:
    full = tables.backup()
    tables.insert(1000, 10)
    later = tables.backup()
    again = tables.backup("--full")

    assert [len(tables.files(name)) for name in (full, later, again)] == [2, 2, 4]
    listed = json.loads(tables.run("backup", "list", "DIR", "--json").stdout)
    assert [(each["name"], each["base"], each["rows"] - listed[0]["rows"]) for each in listed] == [
        (full, None, 0),
        (later, full, 10),
        (again, None, 10),
    ]
    assert listed[1]["bytes"] < listed[0]["bytes"] / 2


def test_moved_directory_restores_each_backup_of_a_chain(tables: Tables) -> None:
    names = [tables.backup()]
    for first in (1000, 1010):
        tables.insert(first, 10)
        names.append(tables.backup())
    moved = tables.directory.with_name("it's moved")
    tables.directory.rename(moved)
    tables.directory = moved

    for name, count in zip(names, (1000, 1010, 1020), strict=True):
        restored = tables.restore("--backup", name, "--replace", "--yes")
        assert restored.exit_code == 0, restored.output
        assert tables.count() == count
    tables.insert(1020, 10)
    assert json.loads((moved / tables.backup() / "manifest.json").read_text())["base"] == names[-1]


def test_rows_are_replaced_only_on_demand(tables: Tables) -> None:
    tables.backup()
    tables.insert(1000, 10)

    refused = tables.restore()
    assert (refused.exit_code, "Add --replace" in refused.output) == (1, True), refused.output
    unconfirmed = tables.restore("--replace")
    assert (unconfirmed.exit_code, "Add --yes" in unconfirmed.output) == (1, True), unconfirmed.output
    assert tables.count() == 1010

    # The advice, word for word.
    assert tables.restore("--replace", "--yes").exit_code == 0
    assert tables.count() == 1000


def test_tables_and_views_of_the_owner_are_saved_and_others_stay(tables: Tables) -> None:
    tables.execute(
        "CREATE TABLE sequence.mine (n UInt64) ENGINE = MergeTree ORDER BY n",
        "INSERT INTO sequence.mine VALUES (42)",
        "CREATE MATERIALIZED VIEW sequence.totals ENGINE = SummingMergeTree ORDER BY event"
        " AS SELECT event, count() AS events FROM sequence.events GROUP BY event",
    )
    tables.insert(1000, 10)
    tables.backup()
    tables.execute(
        "CREATE TABLE sequence.later (n UInt64) ENGINE = MergeTree ORDER BY n",
        "INSERT INTO sequence.later VALUES (1)",
        "DROP TABLE sequence.mine",
    )
    tables.insert(1010, 10)

    restored = tables.restore("--replace", "--yes")

    assert restored.exit_code == 0, restored.output
    assert tables.value("SELECT sum(events) FROM sequence.totals") == "10"
    assert tables.value("SELECT n FROM sequence.mine") == "42"
    assert tables.value("SELECT n FROM sequence.later") == "1"
    tables.insert(1010, 5)
    assert tables.value("SELECT sum(events) FROM sequence.totals") == "15"


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    """Change one bit in the middle, which no size shows."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_backup_that_lacks_something_is_refused_and_changes_nothing(tables: Tables) -> None:
    full = tables.backup()
    tables.insert(1000, 10)
    later = tables.backup()
    index = tables.directory / later / "rows" / ".backup"
    manifest = tables.directory / later / "manifest.json"
    damages: list[tuple[str, Path, Callable[[Path], object]]] = [
        ("is missing", tables.files(later)[0], Path.unlink),
        ("bytes in place of", tables.files(full)[0], truncate),
        ("has changed", index, truncate),
        ("is missing", index, Path.unlink),
        (f"it needs the files of {full}", tables.directory / full, shutil.rmtree),
        ("does not know: 9999_x.sql", manifest, lambda file: edit(file, '"0001_events.sql"', '"9999_x.sql"')),
        ("which is newer", manifest, lambda file: edit(file, '"format": 1', '"format": 2')),
        ("is no manifest", manifest, truncate),
        ("is of the database other", manifest, lambda file: edit(file, '"sequence",', '"other",')),
    ]
    whole = tables.directory.with_name("whole")
    shutil.copytree(tables.directory, whole, symlinks=True)
    for message, file, damage in damages:
        damage(file)
        refused = tables.restore("--replace", "--yes")
        assert (refused.exit_code, message in refused.output) == (1, True), (message, refused.output)
        assert tables.count() == 1010
        shutil.rmtree(tables.directory)
        shutil.copytree(whole, tables.directory)
    assert tables.restore("--replace", "--yes").exit_code == 0


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_changed_bit_is_found_by_verify_and_refused_by_restore(tables: Tables) -> None:
    name = tables.backup()
    assert tables.run("backup", "verify", "DIR").exit_code == 0
    flip(tables.files(name)[0])

    verified = tables.run("backup", "verify", "DIR")
    assert (verified.exit_code, f"{name} is damaged" in verified.output) == (1, True), verified.output
    assert tables.restore("--replace", "--yes").exit_code == 1
    assert tables.count() == 1000
    assert tables.value("SELECT count() FROM system.databases WHERE name LIKE '%_of_%'") == "0"


def test_killed_backup_does_not_count_and_the_next_removes_it(tables: Tables) -> None:
    first = tables.backup()
    tables.insert(1000, 200_000)
    command = [sys.executable, "-m", "deploy.cli", "backup", str(tables.directory), "--tables-only"]
    with subprocess.Popen(command, env={**os.environ, **environment(tables.settings)}) as process:
        eventually(lambda: len(tables.names()) == 2, "the backup has begun", every_seconds=0.001)
        process.kill()
    killed = next(name for name in tables.names() if name != first)

    listed = json.loads(tables.run("backup", "list", "DIR", "--json").stdout)
    assert [(each["name"], each["complete"]) for each in listed] == [(first, True), (killed, False)]
    refused = tables.restore("--replace", "--yes", "--backup", killed)
    assert (refused.exit_code, "is incomplete" in refused.output) == (1, True)

    eventually(lambda: not writing(tables), "ClickHouse has ended the statement")
    name = tables.backup()
    assert tables.names() == [first, name]
    assert tables.run("backup", "verify", "DIR").exit_code == 0


def writing(tables: Tables) -> bool:
    return tables.value("SELECT countIf(status = 'CREATING_BACKUP') FROM system.backups") != "0"


def test_restore_that_was_killed_is_finished_by_the_next(tables: Tables) -> None:
    name = tables.backup()
    tables.insert(1000, 10)
    # What a restore leaves that is killed between the third and the fourth table.
    tables.execute("CREATE DATABASE restore_of_sequence")
    place = f"File('{tables.directory}/{name}/{{}}')"
    moved = [("rows", "duplicates"), ("rows", "events")]
    waiting = [(step, table) for step, table in tables.saved(name) if (step, table) not in moved]
    for step, table in waiting:
        tables.execute(f"RESTORE TABLE sequence.{table} AS restore_of_sequence.{table} FROM {place.format(step)}")
    tables.execute(
        f"CREATE TABLE restore_of_sequence._moving ENGINE = MergeTree ORDER BY name AS SELECT '{name}' AS name",
        "DROP TABLE sequence.events",
        f"RESTORE TABLE sequence.events FROM {place.format('rows')}",
        "DROP TABLE sequence._logs",
    )

    finished = tables.restore()

    assert finished.exit_code == 0, finished.output
    assert "Finishing the restore that was interrupted." in finished.output
    assert tables.count() == 1000
    assert tables.value("SELECT cluster_id FROM sequence._logs") == "cluster"
    assert tables.value("SELECT count() FROM system.databases WHERE name LIKE '%_of_%'") == "0"


@pytest.mark.parametrize("in_order", [True, False], ids=["as it is", "control: notes after the rows"])
def test_restored_notes_hide_no_row_that_came_during_the_backup(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, *, in_order: bool
) -> None:
    if not in_order:
        monkeypatch.setattr(backup, "STEPS", dict(reversed(list(STEPS.items()))))
    run, statements = Runs.run, iter(range(9))

    def run_then_write(self: Runs, sql: str, settings: Mapping[str, str]) -> int:
        ran = run(self, sql, settings)
        if next(statements) == 1:
            # The rows are saved by now. More arrive, and an operator notes the positions.
            tables.insert(1000, 100)
            tables.execute(
                "INSERT INTO sequence._positions (table_name, _log, _partition, position, reason, written_at)"
                " SELECT 'events', 1, 0, 1096, 'kept', now64(3)"
            )
        return ran

    monkeypatch.setattr(Runs, "run", run_then_write)
    tables.backup()
    monkeypatch.undo()
    assert tables.restore("--replace", "--yes").exit_code == 0

    rows = "SELECT max(_origin) FROM sequence.events WHERE _partition = 0"
    noted = "SELECT max(position) FROM sequence._positions"
    assert (tables.value(rows), tables.value(noted)) == ("996", "0" if in_order else "1096")
