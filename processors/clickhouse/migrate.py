"""Migrations: applies the numbered SQL files in `schemas/clickhouse`.

Each file is applied once and recorded with its SHA-256. If a file has changed since, the tables are those of an older
version: `deploy.operate.rebuild` replaces them. Every statement is idempotent, so an interrupted migration can be run
again. SQL functions are no part of the database: `processors.clickhouse.functions` compares them each time.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import orjson
from tenacity import RetryCallState, retry, retry_if_exception, stop_after_delay, wait_fixed

import schemas.clickhouse
from processors.clickhouse import functions
from processors.clickhouse.client import ClickHouse, server_url
from processors.clickhouse.errors import (
    CertificateError,
    ClickHouseError,
    MigrationError,
    OutdatedTablesError,
    UnavailableError,
)
from schemas.settings import ClickHouseSettings

FILES = Path(schemas.clickhouse.__file__).parent
WAIT_SECONDS = 30.0
"""How long to wait for a server that is starting."""
RECORD = "schema_migrations"
"""Table of the files that are applied."""
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
_VIEW = re.compile(r"^CREATE VIEW IF NOT EXISTS (\w+)", re.MULTILINE)
_END_OF_STATEMENT = re.compile(r";[ \t]*(?:\n|$)")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered SQL file."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The checksum recorded in `schema_migrations`."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements, without comment lines; each ends with a semicolon at the end of a line."""
        parts = _END_OF_STATEMENT.split(_COMMENT.sub("", self.text))
        return [part.strip() for part in parts if part.strip()]

    @property
    def tables(self) -> list[str]:
        """The tables that it creates."""
        return _TABLE.findall(self.text)

    @property
    def views(self) -> list[str]:
        """The views that it creates."""
        return _VIEW.findall(self.text)


def read_migrations(directory: Path = FILES) -> list[Migration]:
    """Return the SQL files of *directory*, ordered by number."""
    return [Migration(path.name, path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.sql"))]


def migrate(settings: ClickHouseSettings, migrations: list[Migration] | None = None) -> list[str]:
    """Create the database if it is missing, apply the files that are not applied yet, and return their names.

    Raises `OutdatedTablesError` if an applied file has changed, `MigrationError` if one is missing, `UnavailableError`
    if ClickHouse does not answer within 30 s. Raises `FunctionError` after all files are applied, if a SQL function of
    them cannot be created.
    """
    wanted = read_migrations() if migrations is None else migrations
    _create_database(settings)
    clickhouse = ClickHouse(settings)
    try:
        missing = _missing(clickhouse, wanted, settings.database)
        clickhouse.execute(
            f"CREATE TABLE IF NOT EXISTS {RECORD} (name String, sha256 String, applied_at DateTime64(3, 'UTC'))"
            " ENGINE = MergeTree ORDER BY name"
        )
        for migration in missing:
            _apply(clickhouse, migration)
        functions.ensure(clickhouse, (statement for migration in wanted for statement in migration.statements))
        return [migration.name for migration in missing]
    finally:
        clickhouse.close()


def pending(settings: ClickHouseSettings) -> list[str]:
    """Return the names of the files that are not applied; raises the errors of `migrate` and changes nothing."""
    clickhouse = ClickHouse(settings, database="default")
    try:
        return [migration.name for migration in _missing(clickhouse, read_migrations(), settings.database)]
    finally:
        clickhouse.close()


def _missing(clickhouse: ClickHouse, wanted: list[Migration], database: str) -> list[Migration]:
    """Return the migrations of *wanted* that are not applied in *database*."""
    recorded = clickhouse.query(
        "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        {"database": database, "name": RECORD},
    )
    rows = clickhouse.query(f"SELECT name, sha256 FROM {database}.{RECORD}") if recorded else []  # noqa: S608  # our own names
    applied = {row["name"]: row["sha256"] for row in rows}
    _check(wanted, applied)
    return [migration for migration in wanted if migration.name not in applied]


def _check(wanted: list[Migration], applied: dict[str, str]) -> None:
    changed = [m.name for m in wanted if applied.get(m.name, m.sha256) != m.sha256]
    gone = sorted(applied.keys() - {m.name for m in wanted})
    if changed:
        raise OutdatedTablesError(
            f"The tables were created by an older version: {', '.join(changed)} differs. Run `sequence tables "
            f"rebuild`, which fills new tables from events.v1 and keeps the old ones."
        )
    if gone:
        raise MigrationError(
            f"Applied migrations are missing here: {', '.join(gone)}. The database was migrated by a newer version; "
            f"install that version."
        )


def _apply(clickhouse: ClickHouse, migration: Migration) -> None:
    for statement in migration.statements:
        if functions.name_of(statement) is not None:
            continue
        try:
            clickhouse.execute(statement)
        except UnavailableError:
            raise
        except ClickHouseError as error:
            raise MigrationError(f"{migration.name}: {error}") from error
    row = {"name": migration.name, "sha256": migration.sha256, "applied_at": round(time.time(), 3)}
    clickhouse.execute("INSERT INTO schema_migrations FORMAT JSONEachRow", orjson.dumps(row), {"async_insert": 0})
    log.info("applied %s", migration.name)


def _may_be_starting(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) and not isinstance(error, CertificateError)


def _raise_unreachable(state: RetryCallState) -> NoReturn:
    """Raise the last error as one sentence: the driver's text names the query, its cause the reason."""
    settings: ClickHouseSettings = state.args[0]
    error = reason = state.outcome.exception() if state.outcome else None
    while reason is not None and (cause := reason.__cause__ or reason.__context__) is not None:
        reason = cause
    raise UnavailableError(
        f"ClickHouse at {server_url(settings).without_login} was not available for {WAIT_SECONDS:g} s: {reason}. "
        "Check SEQUENCE_CLICKHOUSE_URL and that the server is running."
    ) from error


@retry(
    retry=retry_if_exception(_may_be_starting),
    wait=wait_fixed(0.5),
    stop=stop_after_delay(WAIT_SECONDS),
    retry_error_callback=_raise_unreachable,
)
def _create_database(settings: ClickHouseSettings) -> None:
    clickhouse = ClickHouse(settings, database="default")
    try:
        # The setting's validation makes the name an identifier.
        clickhouse.execute(f"CREATE DATABASE IF NOT EXISTS {settings.database}")
    finally:
        clickhouse.close()
