"""Databases with the product's tables, made faster than by migrations.

The first database of a server is migrated. Each later one gets the statements that the server prints for it, one for a
table in place of all that the migrations have done to it. Tests of migrations call `migrate` themselves.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from processors.clickhouse.migrate import RECORD, migrate
from schemas.clickhouse.replicated import replicated
from schemas.settings import ClickHouseSettings
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.services import clickhouse_settings

_OBJECTS = (
    "SELECT name, create_table_query AS statement FROM system.tables WHERE database = {database:String}"
    " ORDER BY engine = 'View', metadata_modification_time, name"
)
_statements: dict[str, list[str]] = {}
"""By the URL of a server, what creates its tables and views, without the name of their database."""


def create(settings: ClickHouseSettings) -> None:
    """Create the database of *settings* with every table, view and SQL function of the product."""
    if settings.cluster:
        # What a server prints has the path in Keeper of the tables that it was made for.
        migrate(settings)
        return
    if settings.url not in _statements:
        migrate(settings)
        _statements[settings.url] = _read(settings)
        return
    ClickHouseHttp.of(settings, "default").query(f"CREATE DATABASE {settings.database}")
    made = ClickHouseHttp.of(settings)
    for statement in _statements[settings.url]:
        made.query(statement)


@contextmanager
def database(url: str) -> Iterator[ClickHouseSettings]:
    """Create a database of a test on the server at *url*, and drop it after the block."""
    settings = clickhouse_settings(url, f"test_{secrets.token_hex(4)}")
    create(settings)
    yield settings
    drop(settings)


def drop(settings: ClickHouseSettings) -> None:
    """Drop the database of *settings*, on every server that has it."""
    client = ClickHouseHttp.of(settings, "default")
    client.query(replicated(f"DROP DATABASE {settings.database}", settings.cluster))


def _read(settings: ClickHouseSettings) -> list[str]:
    client = ClickHouseHttp.of(settings)
    objects = client.rows(_OBJECTS, param_database=settings.database)
    applied = client.rows(f"SELECT name, sha256 FROM {RECORD}")  # noqa: S608  # our own name
    statements = [row["statement"].replace(f"{settings.database}.", "") for row in objects]
    rows = ", ".join(f"('{row['name']}', '{row['sha256']}', now())" for row in applied)
    return [*statements, f"INSERT INTO {RECORD} (name, sha256, applied_at) VALUES {rows}"]  # noqa: S608  # our own rows
