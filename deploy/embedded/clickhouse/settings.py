"""Settings of the embedded ClickHouse front."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.settings import positive, setting


@dataclass(frozen=True, slots=True)
class EmbeddedClickHouseSettings:
    """Where the front listens, who may come in, and how much it takes."""

    port: int = setting(
        "SEQUENCE_LOCAL_CLICKHOUSE_PORT", 8123, "Port of the local ClickHouse", check=lambda value: 0 < value < 65536
    )
    state_dir: str = setting("SEQUENCE_STATE_DIR", ".sequence", "Directory of everything that the local stack keeps")
    password: str = setting(
        "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD", "", "Password of the local user `default`, who writes", secret=True
    )
    analyst_password: str = setting(
        "SEQUENCE_LOCAL_ANALYST_PASSWORD", "", "Password of the local user `analyst`, who only reads", secret=True
    )
    database: str = setting(
        "SEQUENCE_CLICKHOUSE_DATABASE",
        "sequence",
        "Database of the tables: letters, digits and underscores",
        check=lambda value: value.isidentifier() and value.isascii(),
    )
    body_limit_mib: int = setting(
        "SEQUENCE_LOCAL_CLICKHOUSE_BODY_MIB", 256, "Largest request body in MiB", check=positive
    )
    body_stall_seconds: float = setting(
        "SEQUENCE_LOCAL_CLICKHOUSE_STALL_SECONDS",
        5.0,
        "Seconds without a byte after which a request body is given up; less than a worker's session",
        check=positive,
    )
