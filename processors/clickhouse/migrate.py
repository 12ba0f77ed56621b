"""Brings ClickHouse's tables to what the numbered files in `schemas/clickhouse` say.

Each file is applied once and recorded with its SHA-256; a file that has changed since is refused, because the tables
would not be what it says. Every statement of a file can be repeated, so a run that was interrupted goes on.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

import schemas.clickhouse
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, MigrationError, UnavailableError
from schemas.settings import ClickHouseSettings

FILES = Path(schemas.clickhouse.__file__).parent
WAIT_SECONDS = 30.0
"""How long to wait for a server that is starting."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """What the file is recorded by."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The file's statements; each ends with a semicolon at the end of a line."""
        return [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", self.text) if _without_comments(part)]


def read_migrations(directory: Path = FILES) -> list[Migration]:
    """Return the files of *directory* in the order of their numbers."""
    return [Migration(path.name, path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.sql"))]


def migrate(settings: ClickHouseSettings, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is not applied yet and return the names of those files; makes the database if it is missing.

    Raises `MigrationError` where an applied file has changed or one that was applied is missing, and
    `UnavailableError` where ClickHouse does not answer within 30 s.
    """
    wanted = read_migrations() if migrations is None else migrations
    _make_database(settings)
    clickhouse = ClickHouse(settings)
    try:
        clickhouse.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (name String, sha256 String, applied_at DateTime64(3, 'UTC'))"
            " ENGINE = MergeTree ORDER BY name"
        )
        applied = {row["name"]: row["sha256"] for row in clickhouse.query("SELECT name, sha256 FROM schema_migrations")}
        _check(wanted, applied)
        missing = [migration for migration in wanted if migration.name not in applied]
        for migration in missing:
            _apply(clickhouse, migration)
        return [migration.name for migration in missing]
    finally:
        clickhouse.close()


def _check(wanted: list[Migration], applied: dict[str, str]) -> None:
    changed = [m.name for m in wanted if applied.get(m.name, m.sha256) != m.sha256]
    gone = sorted(applied.keys() - {m.name for m in wanted})
    if changed:
        raise MigrationError(f"changed since they were applied: {', '.join(changed)}. Put changes into a new file")
    if gone:
        raise MigrationError(f"applied by a newer version, or removed: {', '.join(gone)}")


def _apply(clickhouse: ClickHouse, migration: Migration) -> None:
    for statement in migration.statements:
        try:
            clickhouse.execute(_repeatable(statement))
        except UnavailableError:
            raise
        except ClickHouseError as error:
            raise MigrationError(f"{migration.name}: {error}") from error
    row = f'{{"name":"{migration.name}","sha256":"{migration.sha256}","applied_at":{time.time():.3f}}}'
    clickhouse.execute("INSERT INTO schema_migrations FORMAT JSONEachRow", row.encode(), {"async_insert": 0})
    log.info("applied %s", migration.name)


def _repeatable(statement: str) -> str:
    """Return *statement* so that a run that was interrupted after it does not fail on it."""
    return re.sub(r"\bCREATE (TABLE|VIEW) (?!IF\b)", r"CREATE \1 IF NOT EXISTS ", _without_comments(statement), count=1)


def _without_comments(text: str) -> str:
    return re.sub(r"^--.*$", "", text, flags=re.MULTILINE).strip()


def _make_database(settings: ClickHouseSettings) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        clickhouse = ClickHouse(settings, database="default")
        try:
            # The name is an identifier, by the check of its setting.
            clickhouse.execute(f"CREATE DATABASE IF NOT EXISTS {settings.database}")
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return
        finally:
            clickhouse.close()
