"""Settings of the embedded ClickHouse server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from deploy.settings import LocalSettings
from schemas.settings import ClickHouseSettings, Port, Seconds, setting


@dataclass(frozen=True, slots=True)
class EmbeddedClickHouseSettings:
    """Port, passwords and limits of the server, its directory, and the database that its clients expect."""

    local: LocalSettings = field(default_factory=LocalSettings)
    clients: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    port: Port = setting("SEQUENCE_LOCAL_CLICKHOUSE_PORT", 8123, "Port of the embedded ClickHouse server")
    password: str = setting(
        "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD",
        "",
        "Password of the user `default`, who reads and writes the embedded ClickHouse server",
        secret=True,
    )
    analyst_password: str = setting(
        "SEQUENCE_LOCAL_ANALYST_PASSWORD",
        "",
        "Password of the user `analyst`, who only reads the embedded ClickHouse server",
        secret=True,
    )
    body_limit_mib: Annotated[int, Meta(ge=1, extra={"unit": "MiB"})] = setting(
        "SEQUENCE_LOCAL_CLICKHOUSE_BODY_MIB", 256, "Maximum size of a request body"
    )
    body_stall_seconds: Seconds = setting(
        "SEQUENCE_LOCAL_CLICKHOUSE_STALL_SECONDS", 5.0, "Time without a byte after which a request body is abandoned"
    )
