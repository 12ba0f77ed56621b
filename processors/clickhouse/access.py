"""The read-only user `analyst` on a ClickHouse server. The embedded engine has no users; its server enforces the rule.

`sequence tables migrate` updates the user each time, so that a changed password takes effect.
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
    """Password of the user `analyst`; without one the user is not created."""

    password: str = setting(
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD",
        "",
        "Password of the read-only user `analyst` on a ClickHouse server",
        secret=True,
    )


def statements(settings: ClickHouseSettings, password: str) -> list[str]:
    """Return the statements that create or update `analyst`, who can only read the tables of *settings*."""
    # The statement contains a hash, so the password cannot be interpreted as SQL.
    digest = hashlib.sha256(password.encode()).hexdigest()
    login = f"IDENTIFIED WITH sha256_hash BY '{digest}'"
    grants = [f"GRANT SELECT ON {settings.database}.{table} TO analyst" for table in _TABLES]
    return [
        f"CREATE USER IF NOT EXISTS analyst {login}",
        f"ALTER USER analyst {login} DEFAULT DATABASE {settings.database} SETTINGS {_SETTINGS}",
        *grants,
    ]


def ensure(settings: ClickHouseSettings, password: str) -> None:
    """Create or update the user; the user of *settings* needs access management."""
    clickhouse = ClickHouse(settings)
    try:
        for statement in statements(settings, password):
            clickhouse.execute(statement)
    finally:
        clickhouse.close()
