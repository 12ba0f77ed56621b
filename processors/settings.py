"""Settings of the workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.settings import ClickHouseSettings, KafkaSettings, positive, setting


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker process is told by its environment."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    directory: str = setting(
        "SEQUENCE_WORKER_DIR", ".sequence/worker", "Directory of the worker's local state; each worker needs its own"
    )
    dedupe_window_days: float = setting(
        "SEQUENCE_DEDUPE_WINDOW_DAYS", 7.0, "Days in which a repeated messageId is dropped", check=positive
    )
    stall_seconds: float = setting(
        "SEQUENCE_WORKER_STALL_SECONDS",
        60.0,
        "Seconds without progress, with work to do, after which a worker ends itself",
        check=lambda value: value >= 5,
    )
    session_timeout_seconds: float = setting(
        "SEQUENCE_WORKER_SESSION_SECONDS",
        10.0,
        "Seconds after which Kafka gives the partitions of a silent worker to others",
        check=lambda value: 6 <= value <= 30,
    )
    standby_replicas: int = setting(
        "SEQUENCE_WORKER_STANDBYS", 0, "Other workers that keep a copy of each table", check=lambda value: value >= 0
    )
