"""Tables on an embedded server and a directory for their backups, for tests without Kafka."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from deploy.cli import main
from schemas.settings import ClickHouseSettings, environment
from tests.support.clickhouse_http import ClickHouseHttp

DATABASE = "sequence"
_INSERT = """
INSERT INTO sequence.events
    (project_id, event, user_id, message_id, timestamp, received_at, properties, _log, _partition, _origin)
SELECT 'shop', 'Order Completed', toString(modulo(number, 100)), toString(number), now64(6), now64(6),
    CAST(concat('{"price":', toString(number), '}') AS JSON(max_dynamic_paths=8)), 1, modulo(number, 4), number
FROM numbers(%d, %d)
"""
LOG = "INSERT INTO sequence._logs SELECT 1, 'cluster', 'sequence', 'v1', 4, now64(3)"


@dataclass
class Tables:
    """The tables of a test on the server of its module, and a directory for backups."""

    settings: ClickHouseSettings
    directory: Path

    def run(self, *arguments: str) -> Result:
        """Run `sequence` on the server; `DIR` is the directory."""
        given = [str(self.directory) if argument == "DIR" else argument for argument in arguments]
        return CliRunner().invoke(main, given, env=environment(self.settings))

    def backup(self, *options: str) -> str:
        """Make a backup and return its name."""
        made = self.run("backup", "DIR", "--tables-only", *options)
        assert made.exit_code == 0, made.output
        return made.stdout.partition(":")[0]

    def restore(self, *options: str) -> Result:
        """Restore."""
        return self.run("restore", "DIR", "--tables-only", *options)

    def execute(self, *statements: str) -> None:
        """Run *statements*."""
        client = ClickHouseHttp.of(self.settings, "system")
        for statement in statements:
            client.query(statement)

    def value(self, sql: str) -> str:
        """Return the only value of *sql*."""
        (row,) = ClickHouseHttp.of(self.settings, "system").rows(sql)
        return str(next(iter(row.values())))

    def insert(self, first: int, count: int) -> None:
        """Insert *count* events with source offsets from *first* on."""
        self.execute(_INSERT % (first, count))

    def count(self) -> int:
        """Return the number of events."""
        return int(self.value("SELECT count() FROM sequence.events"))

    def files(self, name: str) -> list[Path]:
        """Return the two files that the backup *name* has of each new part: one is that of the projection."""
        return sorted((self.directory / name / "rows").rglob("data.bin"))

    def names(self) -> list[str]:
        """Return the names of all backups, incomplete ones included."""
        return sorted(path.name for path in self.directory.glob("2*"))

    def saved(self, name: str) -> list[tuple[str, str]]:
        """Return step and name of each table of the backup *name*."""
        steps = json.loads((self.directory / name / "manifest.json").read_text())["steps"]
        return [(step, table) for step, about in steps.items() for table in about["tables"]]
