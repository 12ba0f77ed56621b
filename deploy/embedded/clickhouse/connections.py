"""Connections of a role: their database and settings. Calls block."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from chdb.state.sqlitelike import Connection

from deploy.embedded.clickhouse import opening
from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.roles import Role, is_project_role, on_connect
from schemas.clickhouse.quoting import literal, quoted

_NAME = re.compile(r"\w+")


_PUBLIC_DATABASES = frozenset({"default", "system", "information_schema", "INFORMATION_SCHEMA"})
"""Databases that every server has, and that a client may name without a reason."""


def connect(role: str) -> Connection:
    """Return a new connection of *role*."""
    connection = opening.connect()
    try:
        for statement in on_connect(role):
            connection.query(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def use_database(connection: Connection, database: str, role: str) -> None:
    """Select *database*, as a server does: also one in which the role may read nothing.

    The role of a project gets the same error for a database of another project and for one that does not exist.
    """
    as_writer = role != Role.WRITER and (not is_project_role(role) or database in _PUBLIC_DATABASES)
    try:
        if as_writer:
            connection.query("SET ROLE writer")
        connection.query(f"USE {quoted(database)}")
    finally:
        if as_writer:
            connection.query(f"SET ROLE {role}")


def values(connection: Connection, settings: Mapping[str, str]) -> dict[str, str | None]:
    """Return the values of *settings* in the session of *connection*, None for a default."""
    if not settings:
        return {}
    names = ", ".join(map(literal, settings))
    sql = f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})"  # noqa: S608  # literals
    rows = connection.query(sql, "JSONCompactEachRow")
    found: dict[str, str | None] = dict.fromkeys(settings)
    return found | dict(json.loads(line) for line in rows.bytes().splitlines())


def set_values(connection: Connection, settings: Mapping[str, str | None]) -> None:
    """Set *settings*; None is the default."""
    for name in settings:
        if not _NAME.fullmatch(name) or name == "profile":
            raise QueryError(115, f"Unknown setting '{name}'")
    assignments = [f"{name} = {'DEFAULT' if text is None else literal(text)}" for name, text in settings.items()]
    if assignments:
        connection.query(f"SET {', '.join(assignments)}")
