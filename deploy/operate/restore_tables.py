"""`sequence restore` and `sequence backup verify`: read a backup into a database beside that of the pipeline.

The tables are restored beside, with merges stopped, and compared with the manifest: rows and hash of every part, and
the checksums of every file. Only then do they take their places. `_logs` comes last: without it the sink refuses rows,
so that an interrupted restore is never taken for a complete one. The next restore finishes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from deploy.errors import OperateError
from deploy.operate import backup_contents, backup_statements
from deploy.operate.backup_directory import Directory
from deploy.operate.backup_manifest import STEPS, Manifest
from deploy.operate.backup_runs import Runs
from deploy.operate.backup_statements import Destination
from processors.clickhouse import migrate
from processors.clickhouse.client import ClickHouse
from schemas.clickhouse import TABLES
from schemas.clickhouse.quoting import literal, quoted
from schemas.sizes import size

_FILLED_BY_EVENTS = (*(table.name for table in TABLES), "_positions", "replays")
"""Tables that are empty in a new installation. Others have rows from its start on."""
_LAST = "_logs"
"""Table without which the sink refuses: the first one that is dropped, and the last one that takes its place."""
_OF_ANY_SIZE = {"max_table_size_to_drop": 0}
"""A server drops no table of more than 50 GB otherwise."""
_MOVING = "_moving"
"""Table that says, in the database beside, that its tables are checked and take their places."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A table of a restored backup, compared with the manifest."""

    table: str
    rows: int
    parts: int
    fault: str
    """Empty if it is what the manifest says."""


class Source(Protocol):
    """A backup, and where its rows are."""

    @property
    def directory(self) -> Directory:
        """The directory of backups."""

    @property
    def manifest(self) -> Manifest:
        """What the backup has."""

    @property
    def destination(self) -> Destination:
        """Where ClickHouse finds the rows of all backups."""


class Restorer:
    """Restores *source* as tables of the databases *beside* and *database*, which is that of the pipeline.

    *beside* does not begin as *database* does: such names are those of databases that analysts may read.
    """

    def __init__(self, clickhouse: ClickHouse, source: Source, beside: str, database: str) -> None:
        self._clickhouse = clickhouse
        self._directory = source.directory
        self._manifest = source.manifest
        self._destination = source.destination
        self._database = database
        self._beside = beside
        self._runs = Runs(clickhouse, source.destination)

    def check(self) -> None:
        """Raise `OperateError` if the backup cannot be restored completely, as far as that shows without reading it."""
        if self._manifest.database != self._database:
            raise OperateError(
                f"The backup {self._manifest.name} is of the database {self._manifest.database}, not {self._database}. "
                f"Set SEQUENCE_CLICKHOUSE_DATABASE={self._manifest.database}."
            )
        known = {file.name for file in migrate.read_migrations()}
        if unknown := sorted(self._manifest.migrations.keys() - known):
            raise OperateError(
                f"The backup {self._manifest.name} has migrations that this version does not know: "
                f"{', '.join(unknown)}. It was made by Sequence events {self._manifest.version} or later. Install "
                "that version."
            )
        self._directory.check_files(self._manifest)
        needed, free = sum(table.bytes for table in self._manifest.tables.values()), self._free()
        if free is not None and needed > free:
            raise OperateError(
                f"The tables need {size(needed)}, but the disk of ClickHouse has {size(free)} of free space. They are "
                "restored beside the present ones. Free space on it."
            )

    def present_rows(self) -> dict[str, int]:
        """Return the rows of each table that would be replaced, of those that are empty in a new installation."""
        rows = self._clickhouse.query(
            "SELECT name, total_rows AS rows FROM system.tables WHERE database = {database:String}",
            {"database": self._database},
        )
        counted = {str(row["name"]): int(row["rows"] or 0) for row in rows}
        return {name: counted[name] for name in _FILLED_BY_EVENTS if counted.get(name)}

    def is_unfinished(self) -> bool:
        """Return whether an interrupted restore of this backup has compared its tables already.

        It may have replaced some. As long as the database has the log of its rows, it has replaced none.
        """
        if _MOVING not in self._names(self._beside) or self._has_logs():
            return False
        rows = self._clickhouse.query(f"SELECT name FROM {quoted(self._beside)}.{_MOVING}")  # noqa: S608  # our own name
        return [row["name"] for row in rows] == [self._manifest.name]

    def restore_beside(self) -> list[Checked]:
        """Restore the tables into the database beside, and return how they compare with the manifest."""
        self._runs.wait_for_earlier()
        self.drop_beside()
        self._directory.relocate(self._manifest)
        self._clickhouse.execute(f"CREATE DATABASE {quoted(self._beside)}")
        try:
            for step in self._steps():
                self._restore_tables(step)
            return self._compared()
        except Exception:
            self.drop_beside()
            raise

    def drop_beside(self) -> None:
        """Remove the database beside."""
        self._clickhouse.execute(f"DROP DATABASE IF EXISTS {quoted(self._beside)} SYNC", settings=_OF_ANY_SIZE)

    def take_places(self, say: Callable[[str], None]) -> None:
        """Replace the tables of the pipeline with those beside; the next call finishes what was interrupted."""
        beside = quoted(self._beside)
        self._clickhouse.execute(f"CREATE DATABASE IF NOT EXISTS {quoted(self._database)}")
        if _MOVING not in self._names(self._beside):
            self._clickhouse.execute(
                f"CREATE TABLE {beside}.{_MOVING} ENGINE = MergeTree ORDER BY name AS"
                f" SELECT {literal(self._manifest.name)} AS name"
            )
        else:
            say("Finishing the restore that was interrupted.")
        self._drop_present()
        waiting = set(self._names(self._beside)) & self._manifest.tables.keys()
        for table in sorted(waiting - {_LAST}):
            self._move(table)
        for table in self._manifest.tables.keys() - {_LAST}:
            self._start_merges(table)
        self._restore_views()
        if _LAST in waiting:
            self._move(_LAST)
            self._start_merges(_LAST)
        self.drop_beside()

    def _move(self, table: str) -> None:
        self._clickhouse.execute(
            f"RENAME TABLE {quoted(self._beside)}.{quoted(table)} TO {quoted(self._database)}.{quoted(table)}"
        )

    def _start_merges(self, table: str) -> None:
        self._clickhouse.execute(f"SYSTEM START MERGES {quoted(self._database)}.{quoted(table)}")

    def _drop_present(self) -> None:
        """Drop the tables and views that the backup replaces, and those of the pipeline that it does not have.

        Tables and views of the owner that are not in the backup stay.
        """
        tables, views = backup_contents.objects(self._clickhouse, self._database)
        waiting, files = set(self._names(self._beside)), migrate.read_migrations()
        of_backup = {name for step in self._manifest.steps.values() for name in (*step.tables, *step.views)}
        of_pipeline = {name for file in files for name in (*file.tables, *file.views)} | {migrate.RECORD}
        for name in [*views, *sorted(tables, key=lambda name: (name != _LAST, name))]:
            if (
                name in waiting
                or (name in of_pipeline and name not in of_backup)
                or (name in views and name in of_backup)
            ):
                self._clickhouse.execute(
                    f"DROP TABLE {quoted(self._database)}.{quoted(name)} SYNC", settings=_OF_ANY_SIZE
                )

    def _restore_tables(self, step: str) -> None:
        tables = self._manifest.steps[step].tables
        self._run(step, tables, self._beside, {"structure_only": "true"})
        # A merge would change the parts that are to be compared.
        for table in tables:
            self._clickhouse.execute(f"SYSTEM STOP MERGES {quoted(self._beside)}.{quoted(table)}")
        self._run(step, tables, self._beside, {})

    def _restore_views(self) -> None:
        for step in self._steps():
            if views := self._manifest.steps[step].views:
                self._run(step, views, self._database, {})

    def _run(self, step: str, names: Sequence[str], into: str, more: dict[str, str]) -> None:
        place = self._destination.sql(self._manifest.name, step)
        base = self._manifest.base
        settings = self._runs.settings(None if base is None else self._directory.manifest(base), step) | more
        self._runs.run(backup_statements.restore(names, self._manifest.database, into, place, settings), settings)

    def _compared(self) -> list[Checked]:
        names = [table for step in self._steps() for table in self._manifest.steps[step].tables]
        found = backup_contents.contents(self._clickhouse, self._beside, names)
        damaged = set(backup_contents.damaged(self._clickhouse, self._beside, names))
        checked = []
        for name in names:
            wanted, present = self._manifest.tables[name], found[name]
            fault = ""
            if present.rows != wanted.rows:
                fault = f"{present.rows} rows in place of {wanted.rows}"
            elif present.checksum != wanted.checksum:
                fault = "the checksum differs"
            elif name in damaged:
                fault = "a file is damaged"
            checked.append(Checked(name, present.rows, present.parts, fault))
        return checked

    def _steps(self) -> list[str]:
        return [step for step in STEPS if step in self._manifest.steps]

    def _names(self, database: str) -> list[str]:
        rows = self._clickhouse.query(
            "SELECT name FROM system.tables WHERE database = {database:String}", {"database": database}
        )
        return [str(row["name"]) for row in rows]

    def _has_logs(self) -> bool:
        name = f"{quoted(self._database)}.{_LAST}"
        return _LAST in self._names(self._database) and bool(
            self._clickhouse.query(f"SELECT 1 FROM {name} LIMIT 1")  # noqa: S608  # our own name
        )

    def _free(self) -> int | None:
        return backup_contents.free_bytes(self._clickhouse)
