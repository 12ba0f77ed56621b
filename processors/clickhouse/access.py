"""The read-only login of analysts on a ClickHouse server; the embedded engine has no users, its front keeps the rule.

Made anew at every `sequence tables migrate`, so that a changed password takes effect.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from processors.clickhouse.client import ClickHouse
from schemas.settings import ClickHouseSettings, setting

_SETTINGS = "readonly = 2, max_execution_time = 300, max_memory_usage = 4000000000"
_TABLES = ("events", "identifies", "persons", "person_states")


@dataclass(frozen=True, slots=True)
class AnalystSettings:
    """Whether to make the login, and its password."""

    password: str = setting(
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD",
        "",
        "Password of the read-only user `analyst` on a ClickHouse server",
        secret=True,
    )


def statements(settings: ClickHouseSettings, password: str) -> list[str]:
    """Return what makes the user `analyst`, who can read the tables of *settings* and nothing else."""
    # A hash goes into the statement, so that no password can be read as SQL.
    digest = hashlib.sha256(password.encode()).hexdigest()
    login = f"IDENTIFIED WITH sha256_hash BY '{digest}'"
    grants = [f"GRANT SELECT ON {settings.database}.{table} TO analyst" for table in _TABLES]
    return [
        f"CREATE USER IF NOT EXISTS analyst {login}",
        f"ALTER USER analyst {login} DEFAULT DATABASE {settings.database} SETTINGS {_SETTINGS}",
        *grants,
    ]


def ensure(settings: ClickHouseSettings, password: str) -> None:
    """Make the login, or bring it in line; the writing user needs access management for it."""
    clickhouse = ClickHouse(settings)
    try:
        for statement in statements(settings, password):
            clickhouse.execute(statement)
    finally:
        clickhouse.close()
