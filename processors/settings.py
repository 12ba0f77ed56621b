"""Settings of the workers, and of what creates the tables that they write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from schemas.settings import ClickHouseSettings, DedupeSettings, KafkaSettings, setting

WORKERS = ("dedupe", "persons", "sink")
"""The kinds of workers."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `sequence worker` reads from the environment."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    dedupe: DedupeSettings = field(default_factory=DedupeSettings)
    directory: str = setting("SEQUENCE_WORKER_DIR", ".sequence/worker", "Directory of the worker's local state")
    stall_seconds: Annotated[float, Meta(ge=5, extra={"unit": "seconds"})] = setting(
        "SEQUENCE_WORKER_STALL_SECONDS", 60.0, "Time without progress on pending work after which a worker exits"
    )
    session_timeout_seconds: Annotated[float, Meta(ge=6, le=30, extra={"unit": "seconds"})] = setting(
        "SEQUENCE_WORKER_SESSION_SECONDS", 10.0, "Session timeout of the worker's Kafka consumer group"
    )
    standby_replicas: Annotated[int, Meta(ge=0)] = setting(
        "SEQUENCE_WORKER_STANDBYS", 0, "Number of other workers that keep a standby copy of each table"
    )
    metrics_host: str = setting(
        "SEQUENCE_WORKER_METRICS_HOST", "127.0.0.1", "Address at which a worker serves its metrics and health"
    )
    # 0 lets the operating system choose: several workers of one machine need no setting.
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = setting(
        "SEQUENCE_WORKER_METRICS_PORT", 0, "Port at which a worker serves its metrics and health"
    )


@dataclass(frozen=True, slots=True)
class AnalystSettings:
    """Password of the user `analyst`; without one the user is not created."""

    password: str = setting(
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD",
        "",
        "Password of the read-only user `analyst` on a ClickHouse server",
        secret=True,
    )
