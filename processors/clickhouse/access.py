"""The users of analysts on a ClickHouse server. The embedded server has its own with the same grants and limits.

`analyst` reads the tables and the views of all projects. `sequence tables migrate` updates this user each time, so that
a changed password takes effect. A login of a project has a role that reads the database of the project's views.
"""

from __future__ import annotations

import hashlib

from processors.clickhouse.client import ClickHouse
from schemas.clickhouse.analyst import LIMITS, READING, readable_tables
from schemas.clickhouse.quoting import literal, quoted
from schemas.clickhouse.replicated import replicated
from schemas.settings import ClickHouseSettings


def statements(settings: ClickHouseSettings, password: str) -> list[str]:
    """Return the statements that create or update `analyst`, who can only read the tables of *settings*.

    The user may change settings, as BI tools do (`readonly = 2`), but not `readonly`, and limits only within `LIMITS`.
    """
    login = _identified(password)
    grants = [f"GRANT SELECT ON {table} TO analyst" for table in readable_tables(settings.database)]
    return [
        f"CREATE USER IF NOT EXISTS analyst {login}",
        f"ALTER USER analyst {login} DEFAULT DATABASE {settings.database} SETTINGS {_settings()}",
        *grants,
    ]


def create_project_login(base: str, name: str, project_id: str, database: str, password: str) -> list[str]:
    """Return the statements that create the login *name*, which reads *database*, the views of *project_id*.

    The statement that creates the user fails if there is one of this name.
    """
    role, user, views = quoted(_role_prefix(base) + project_id), quoted(name), quoted(database)
    return [
        f"CREATE ROLE IF NOT EXISTS {role}",
        f"GRANT SELECT ON {views}.* TO {role}",
        f"CREATE USER {user} {_identified(password)} DEFAULT DATABASE {views} SETTINGS {_settings()}",
        f"GRANT {role} TO {user}",
    ]


def set_password(name: str, password: str) -> str:
    """Return the statement that gives the login *name* another password."""
    return f"ALTER USER {quoted(name)} {_identified(password)}"


def project_logins(base: str) -> str:
    """Return the SELECT of `name` and `project_id` of each login of a project."""
    prefix = literal(_role_prefix(base))
    return (
        f"SELECT user_name AS name, substring(granted_role_name, length({prefix}) + 1) AS project_id"  # noqa: S608
        f" FROM system.role_grants WHERE isNotNull(user_name) AND startsWith(granted_role_name, {prefix})"
        " ORDER BY name"
    )


def _role_prefix(base: str) -> str:
    return f"{base} analyst of "


def _identified(password: str) -> str:
    # A hash, so the password cannot be interpreted as SQL.
    return f"IDENTIFIED WITH sha256_hash BY '{hashlib.sha256(password.encode()).hexdigest()}'"


def _settings() -> str:
    """Return the settings of an analyst: `readonly` is fixed, limits can be lowered, the others can be changed."""
    limits = [f"{name} = {limit} MIN 1 MAX {limit}" for name, limit in LIMITS.items()]
    reading = [f"{name} = {value}" for name, value in READING.items()]
    return ", ".join(["readonly = 2 CONST", *limits, *reading])


def ensure(settings: ClickHouseSettings, password: str) -> None:
    """Create or update the user; the user of *settings* needs access management."""
    clickhouse = ClickHouse(settings)
    try:
        for statement in statements(settings, password):
            clickhouse.execute(replicated(statement, clickhouse.cluster))
    finally:
        clickhouse.close()
