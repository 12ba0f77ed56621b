"""`sequence backup`: saves the tables with BACKUP, and the records of `projects.v1`, while events flow.

`backup_manifest.STEPS` explains the order. The manifest is written last, and a backup without it does not count. So one
that is interrupted at any point leaves nothing but files, which the next backup removes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from deploy import secret_files
from deploy.embedded.clickhouse.logins import FILE as LOGINS_FILE
from deploy.errors import OperateError
from deploy.operate import backup_contents, backup_projects, backup_statements
from deploy.operate.backup_directory import LOGINS, PROJECTS, Directory, write_private
from deploy.operate.backup_manifest import FORMAT, STEPS, Content, Log, Manifest, Position, Step, step_of
from deploy.operate.backup_runs import Runs, connected
from deploy.operate.backup_statements import Destination
from deploy.operate.servers import Servers
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import RECORD
from schemas.sizes import size

_RESERVE = 1.05
"""Space that a backup needs, in relation to the parts that it copies."""
_BYTES = "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = {database:String} AND active"
_BYTES_BESIDE_BASE = (
    f"{_BYTES} AND hash_of_all_files NOT IN (SELECT hash_of_all_files"  # noqa: S608  # our own text
    " FROM system.parts WHERE database = {base:String} AND active)"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to save, and where."""

    directory: Directory
    destination: Destination
    tables_only: bool
    """Whether Kafka is left out: the records of `projects.v1` are not saved."""
    full: bool
    state: Path | None
    """State directory of the local stack."""


@dataclass(slots=True)
class _Saved:
    """What the BACKUP statements wrote."""

    steps: dict[str, Step] = field(default_factory=dict)
    tables: dict[str, Content] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    migrations: Mapping[str, str] = field(default_factory=dict)


def create(servers: Servers, plan: Plan, say: Callable[[str], None]) -> Manifest:
    """Save everything and return the manifest. Raises `OperateError`, and then nothing counts."""
    servers.refuse_cluster("sequence backup")
    with plan.directory.locked(), connected(servers) as clickhouse:
        _remove_incomplete(plan.directory, clickhouse, say)
        return _Backup(clickhouse, servers, plan, say).create()


def _remove_incomplete(directory: Directory, clickhouse: ClickHouse, say: Callable[[str], None]) -> None:
    rows = clickhouse.query("SELECT name FROM system.backups WHERE status = 'CREATING_BACKUP'")
    running = [str(row["name"]) for row in rows]
    for name in directory.names():
        if directory.manifest(name) is not None:
            continue
        if any(f"/{name}/" in place for place in running):
            raise OperateError(
                f"ClickHouse still writes {name}, whose command was interrupted. Wait until it has ended."
            )
        say(f"Removing {name}, which was interrupted.")
        shutil.rmtree(directory.path / name)


class _Backup:
    def __init__(self, clickhouse: ClickHouse, servers: Servers, plan: Plan, say: Callable[[str], None]) -> None:
        self._clickhouse = clickhouse
        self._servers = servers
        self._database = servers.clickhouse.database
        self._reading = f"backup_of_{self._database}"
        self._plan = plan
        self._say = say
        self._runs = Runs(clickhouse, plan.destination)
        self._place = None if plan.destination.is_directory else str(plan.destination)

    def create(self) -> Manifest:
        tables, views = backup_contents.objects(self._clickhouse, self._database)
        if RECORD not in tables:
            raise OperateError(
                f"The database {self._database} has no tables of Sequence events. Run `sequence tables migrate`, or "
                "correct SEQUENCE_CLICKHOUSE_DATABASE."
            )
        base = None if self._plan.full else self._base()
        self._check_space(base)
        now, began = datetime.now(UTC), time.monotonic()
        name = self._plan.directory.new_name(now)
        path = self._plan.directory.path / name
        path.mkdir(mode=0o700)
        try:
            saved = self._save(name, base, tables, views)
            projects = self._save_projects(path)
            self._copy_logins(path)
            manifest = Manifest(
                format=FORMAT,
                name=name,
                created_at=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                seconds=round(time.monotonic() - began, 3),
                version=version("sequence-events"),
                clickhouse_version=str(self._clickhouse.query("SELECT version() AS version")[0]["version"]),
                database=self._database,
                destination=self._place,
                base=None if base is None else base.name,
                migrations=saved.migrations,
                logs=saved.logs,
                positions=saved.positions,
                steps=saved.steps,
                tables=saved.tables,
                projects=projects,
            )
            self._plan.directory.write_manifest(manifest)
        except BaseException:
            # ClickHouse may still be writing after an interrupt; the next backup removes what is left.
            shutil.rmtree(path, ignore_errors=True)
            raise
        return manifest

    def _base(self) -> Manifest | None:
        """Return the newest backup of the same place, None if its files are not all there."""
        for found in reversed(self._plan.directory.complete()):
            if (found.database, found.destination) != (self._database, self._place):
                continue
            try:
                self._plan.directory.check_files(found)
            except OperateError as error:
                self._say(f"{error} This one is full.")
                return None
            self._plan.directory.relocate(found)
            return found
        return None

    def _check_space(self, base: Manifest | None) -> None:
        """Raise `OperateError` if the directory has no space for the parts that *base* does not have."""
        if not self._plan.destination.is_directory:
            return
        if base is None or "rows" not in base.steps:
            rows = self._clickhouse.query(_BYTES, {"database": self._database})
        else:
            with self._runs.attached(self._reading, self._database, self._plan.destination.sql(base.name, "rows")):
                rows = self._clickhouse.query(
                    _BYTES_BESIDE_BASE,
                    {"database": self._database, "base": self._reading},
                )
        wanted, free = int(int(rows[0]["bytes"]) * _RESERVE), shutil.disk_usage(self._plan.directory.path).free
        if wanted > free:
            raise OperateError(
                f"The backup needs {size(wanted)}, but {self._plan.directory.path} has {size(free)} of free space. "
                "Free space, or choose another directory."
            )

    def _save(self, name: str, base: Manifest | None, tables: Sequence[str], views: Sequence[str]) -> _Saved:
        saved = _Saved()
        for step in STEPS:
            of_step = [table for table in tables if step_of(table) == step]
            if not of_step:
                continue
            its_views = list(views) if step == "rows" else []
            place = self._plan.destination.sql(name, step)
            settings = self._runs.settings(base, step)
            written = self._runs.run(
                backup_statements.backup([*of_step, *its_views], self._database, place, settings), settings
            )
            digest = self._plan.directory.index_digest(name, step) if self._place is None else ""
            saved.steps[step] = Step(of_step, its_views, written, digest)
            with self._runs.attached(self._reading, self._database, place):
                self._read(of_step, saved)
        return saved

    def _read(self, tables: Sequence[str], saved: _Saved) -> None:
        """Note what the tables of a step have in the backup."""
        saved.tables |= backup_contents.contents(self._clickhouse, self._reading, tables)
        saved.positions += backup_contents.positions(self._clickhouse, self._reading, tables)
        if "_logs" in tables:
            saved.logs = backup_contents.logs(self._clickhouse, self._reading)
        if RECORD in tables:
            saved.migrations = backup_contents.migrations(self._clickhouse, self._reading)

    def _save_projects(self, path: Path) -> int | None:
        if self._plan.tables_only:
            return None
        records = self._servers.ask_kafka(backup_projects.read)
        write_private(path / PROJECTS, backup_projects.encode(records))
        return len(records)

    def _copy_logins(self, path: Path) -> None:
        """Save the logins of projects of the local stack: names, projects and a hash of each password."""
        if self._plan.state is not None and (text := secret_files.read(self._plan.state / LOGINS_FILE)):
            write_private(path / LOGINS, text.encode())
