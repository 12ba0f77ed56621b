"""Migrations: applies the numbered SQL files in `schemas/clickhouse`.

Each file is applied once and recorded with its SHA-256. If a file has changed since, the tables are those of an older
version: `deploy.operate.rebuild` replaces them. Every statement is idempotent, so an interrupted migration can be run
again. SQL functions are no part of the database: `processors.clickhouse.functions` compares them each time. What
ClickHouse has no statement for, `processors.clickhouse.partition_key` carries out.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import orjson
from tenacity import RetryCallState, retry, retry_if_exception, stop_after_delay, wait_fixed

import schemas.clickhouse
from processors.clickhouse import cluster, copied_tables, functions, partition_key, replicas
from processors.clickhouse.client import ANSWER_SECONDS, ClickHouse, server_url
from processors.clickhouse.errors import (
    CertificateError,
    ClickHouseError,
    MigrationError,
    OutdatedTablesError,
    UnavailableError,
)
from processors.clickhouse.migration_plan import Plan
from schemas.clickhouse.replicated import replicated
from schemas.settings import ClickHouseSettings

FILES = Path(schemas.clickhouse.__file__).parent
WAIT_SECONDS = 30.0
"""How long to wait for a server that is starting."""
_COPY_SECONDS = 24 * 3600.0
"""Longest time in which the rows of one partition of a table are copied."""
_CLUSTER_SECONDS = 190.0
"""Longest time in which the servers of a cluster run a statement."""
RECORD = "schema_migrations"
"""Table of the files that are applied."""
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)
_TABLE = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)", re.MULTILINE)
_VIEW = re.compile(r"^CREATE VIEW IF NOT EXISTS (\w+)", re.MULTILINE)
_INDEX = re.compile(r"ALTER TABLE (\w+) MATERIALIZE INDEX \w+")
_END_OF_STATEMENT = re.compile(r";[ \t]*(?:\n|$)")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered SQL file."""

    name: str
    text: str
    keys: Mapping[str, str] = field(default_factory=dict)
    """On a cluster, the partition keys with which tables are created."""

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


def say_nothing(line: str) -> None:
    """Ignore *line*."""
    del line


def migrate(
    settings: ClickHouseSettings,
    migrations: list[Migration] | None = None,
    say: Callable[[str], None] = say_nothing,
) -> list[str]:
    """Create the database if it is missing, apply the files that are not applied yet, and return their names.

    Calls *say* with the lines of the plan before anything is changed, and with the progress while rows are copied.
    Raises `OutdatedTablesError` if an applied file has changed, `MigrationError` if one is missing, `UnavailableError`
    if ClickHouse does not answer within 30 s. Raises `FunctionError` after all files are applied, if a SQL function of
    them cannot be created. On a cluster every server must answer; one that was added gets the tables of the others.
    """
    wanted = read_migrations() if migrations is None else migrations
    _create_database(settings)
    clickhouse = _connected(settings)
    try:
        if settings.cluster:
            _add_missing(clickhouse, wanted)
            wanted = [replace(migration, keys=_final_keys(wanted)) for migration in wanted]
        missing = _missing(clickhouse, wanted, settings.database)
        planned = _plan(clickhouse, missing, settings.database)
        for line in planned.lines():
            say(line)
        copied_tables.require_space(planned)
        record = (
            f"CREATE TABLE IF NOT EXISTS {RECORD} (name String, sha256 String, applied_at DateTime64(3, 'UTC'))"
            " ENGINE = MergeTree ORDER BY name"
        )
        clickhouse.execute(replicated(record, settings.cluster))
        copied = {table.name for table in planned.copied}
        with copied_tables.progress_told(settings, planned, say):
            for migration in missing:
                _apply(clickhouse, settings, migration, copied)
        functions.ensure(clickhouse, (statement for migration in wanted for statement in migration.statements))
        return [migration.name for migration in missing]
    finally:
        clickhouse.close()


def pending(settings: ClickHouseSettings) -> list[str]:
    """Return the names of the files that are not applied; raises the errors of `migrate` and changes nothing."""
    return list(plan(settings).names)


def plan(settings: ClickHouseSettings) -> Plan:
    """Return what `migrate` would do; raises its errors and changes nothing."""
    clickhouse = ClickHouse(settings, database="default")
    try:
        return _plan(clickhouse, _missing(clickhouse, read_migrations(), settings.database), settings.database)
    finally:
        clickhouse.close()


def _plan(clickhouse: ClickHouse, missing: list[Migration], database: str) -> Plan:
    statements = [statement for migration in missing for statement in migration.statements]
    return copied_tables.make_plan(clickhouse, database, [migration.name for migration in missing], statements)


def _missing(clickhouse: ClickHouse, wanted: list[Migration], database: str) -> list[Migration]:
    """Return the migrations of *wanted* that are not applied in *database*."""
    recorded = clickhouse.query(
        "SELECT engine FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        {"database": database, "name": RECORD},
    )
    cluster.check_kind(str(recorded[0]["engine"]) if recorded else "", clickhouse.cluster, database)
    if recorded:
        replicas.check_complete(clickhouse, RECORD, database=database)
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


def _connected(settings: ClickHouseSettings, database: str | None = None) -> ClickHouse:
    answer_seconds = _CLUSTER_SECONDS if settings.cluster else ANSWER_SECONDS
    return ClickHouse(settings, database=database, answer_seconds=answer_seconds)


def _add_missing(clickhouse: ClickHouse, wanted: list[Migration]) -> None:
    """Create what servers of the cluster lack; return when the server has the record of the migrations."""
    tables = [name for migration in wanted for name in migration.tables]
    views = [name for migration in wanted for name in migration.views]
    for name in cluster.add_missing(clickhouse, [RECORD, *tables, *views]):
        log.info("created %s on the servers of the cluster that lacked it", name)


def _final_keys(wanted: list[Migration]) -> dict[str, str]:
    """Return the last partition key that the files give to a table."""
    keys = (partition_key.new_key_of(statement) for migration in wanted for statement in migration.statements)
    return {key.table: key.key for key in keys if key is not None}


def _apply(clickhouse: ClickHouse, settings: ClickHouseSettings, migration: Migration, copied: Collection[str]) -> None:
    """Apply *migration*. The tables *copied* will be copied by it or a later one, which gives them their indexes."""
    for statement in migration.statements:
        if functions.name_of(statement) is not None:
            continue
        if (index := _INDEX.fullmatch(statement)) is not None and index[1] in copied:
            # Beside the copy, ClickHouse would write all parts again, which are dropped then.
            continue
        try:
            _execute(clickhouse, settings, cluster.with_final_key(statement, migration.keys))
        except UnavailableError:
            raise
        except ClickHouseError as error:
            raise MigrationError(f"{migration.name}: {error}") from error
    row = {"name": migration.name, "sha256": migration.sha256, "applied_at": round(time.time(), 3)}
    clickhouse.execute("INSERT INTO schema_migrations FORMAT JSONEachRow", orjson.dumps(row), {"async_insert": 0})
    log.info("applied %s", migration.name)


def _execute(clickhouse: ClickHouse, settings: ClickHouseSettings, statement: str) -> None:
    if (wanted := partition_key.new_key_of(statement)) is None:
        clickhouse.execute(replicated(statement, settings.cluster))
        return
    if settings.cluster:
        partition_key.require(clickhouse, wanted)
        return
    patient = ClickHouse(settings, answer_seconds=_COPY_SECONDS)
    try:
        partition_key.change(patient, wanted)
    finally:
        patient.close()


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
    clickhouse = _connected(settings, "default")
    try:
        # The setting's validation makes the name an identifier.
        if settings.cluster:
            cluster.check(clickhouse)
        clickhouse.execute(replicated(f"CREATE DATABASE IF NOT EXISTS {settings.database}", settings.cluster))
    finally:
        clickhouse.close()
