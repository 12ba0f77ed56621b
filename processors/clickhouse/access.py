"""The read-only user `analyst` on a ClickHouse server. The embedded server has its own with the same grants and limits.

`sequence tables migrate` updates the user each time, so that a changed password takes effect.
"""

from __future__ import annotations

import hashlib

from processors.clickhouse.client import ClickHouse
from schemas.clickhouse.analyst import LIMITS, READING, readable_tables
from schemas.settings import ClickHouseSettings


def statements(settings: ClickHouseSettings, password: str) -> list[str]:
    """Return the statements that create or update `analyst`, who can only read the tables of *settings*.

    The user may change settings, as BI tools do (`readonly = 2`), but not `readonly`, and limits only within `LIMITS`.
    """
    # The statement contains a hash, so the password cannot be interpreted as SQL.
    digest = hashlib.sha256(password.encode()).hexdigest()
    login = f"IDENTIFIED WITH sha256_hash BY '{digest}'"
    limits = [f"{name} = {limit} MIN 1 MAX {limit}" for name, limit in LIMITS.items()]
    reading = [f"{name} = {value}" for name, value in READING.items()]
    pinned = ", ".join(["readonly = 2 CONST", *limits, *reading])
    grants = [f"GRANT SELECT ON {table} TO analyst" for table in readable_tables(settings.database)]
    return [
        f"CREATE USER IF NOT EXISTS analyst {login}",
        f"ALTER USER analyst {login} DEFAULT DATABASE {settings.database} SETTINGS {pinned}",
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
