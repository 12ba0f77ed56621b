"""Settings of the local stack, `sequence up`. Its processes read their own settings from the same environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from schemas.settings import Count, KafkaSettings, Port, SettingsError, load, load_both, setting

_CLUSTER = 3
"""Brokers of a local stack that has several."""
_REPLICAS = {"SEQUENCE_REPLICATION_FACTOR": "3", "SEQUENCE_MIN_INSYNC_REPLICAS": "2"}


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Directories of the local stack, the embedded broker, and the number of processes."""

    state_dir: str = setting("SEQUENCE_STATE_DIR", ".sequence", "Directory of all data of the local stack")
    cache_dir: str = setting("SEQUENCE_CACHE_DIR", "", "Directory of the downloaded Kafka jar files")
    maven_repository: str = setting(
        "SEQUENCE_MAVEN_REPOSITORY", "", "URL of the Maven repository that Kafka's jar files are downloaded from"
    )
    kafka_port: Port = setting("SEQUENCE_LOCAL_KAFKA_PORT", 9092, "Port of the first embedded Kafka broker")
    brokers: Annotated[int, Meta(ge=0, le=3)] = setting(
        "SEQUENCE_LOCAL_BROKERS", 0, "Number of embedded Kafka brokers, 1 or 3; 0 keeps that of the data, 1 at first"
    )
    kafka_fsync: bool = setting(
        "SEQUENCE_LOCAL_KAFKA_FSYNC",
        False,  # noqa: FBT003  # the default, as for every setting
        "Whether the embedded Kafka broker flushes every record to disk before it acknowledges it",
    )
    # 0 takes free ports, which is of use to tests.
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = setting(
        "SEQUENCE_LOCAL_METRICS_PORT", 9464, "Port of the metrics and health of the first worker in the local stack"
    )
    gateways: Count = setting("SEQUENCE_LOCAL_GATEWAYS", 1, "Number of gateways in the local stack")
    workers: Count = setting("SEQUENCE_LOCAL_WORKERS", 1, "Number of workers of each kind in the local stack")


def load_kafka(environ: Mapping[str, str]) -> KafkaSettings:
    """Return the settings of Kafka. Without SEQUENCE_KAFKA_SERVERS, it is that of the local stack."""
    if environ.get("SEQUENCE_KAFKA_SERVERS"):
        return load(KafkaSettings, environ)
    local, kafka = load_both(LocalSettings, KafkaSettings, environ)
    return replace(kafka, bootstrap_servers=local_kafka(local))


def local_kafka(settings: LocalSettings) -> str:
    """Return the addresses of the brokers of the local stack."""
    return ",".join(f"127.0.0.1:{settings.kafka_port + number}" for number in range(brokers(settings)))


def with_replicas(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with three replicas of each topic, two of them in sync, if the local stack has brokers for them.

    What *environ* says counts.
    """
    several = brokers(load(LocalSettings, environ)) > 1
    return {**(_REPLICAS if several and not environ.get("SEQUENCE_KAFKA_SERVERS") else {}), **environ}


def brokers(settings: LocalSettings) -> int:
    """Return the number of brokers of the local stack: that of its data, or else the setting."""
    return stored_brokers(state_directory(settings)) or settings.brokers or 1


def stored_brokers(state: Path) -> int:
    """Return for how many brokers the directory *state* has data, 0 for none."""
    return len(broker_directories(state))


def broker_directories(state: Path) -> list[Path]:
    """Return the directories of the brokers whose data *state* has.

    Those of a cluster are all of them, even if some were deleted: these brokers copy their data from the others.
    """
    if (state / "kafka").is_dir():
        return [state / "kafka"]
    cluster = [state / f"kafka-{node}" for node in range(1, _CLUSTER + 1)]
    return cluster if any(directory.is_dir() for directory in cluster) else []


def state_directory(settings: LocalSettings) -> Path:
    """Return the absolute path of the state directory. Raises `SettingsError` if its `~` has no meaning."""
    return _absolute("SEQUENCE_STATE_DIR", settings.state_dir or LocalSettings().state_dir)


def cache_directory(settings: LocalSettings, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the absolute path of the cache directory.

    It is the one that is set, else `sequence` in the user's cache directory, else `cache` in the state directory.
    """
    if settings.cache_dir:
        return _absolute("SEQUENCE_CACHE_DIR", settings.cache_dir)
    if (xdg := environ.get("XDG_CACHE_HOME", "")).startswith("/"):
        return Path(xdg) / "sequence"
    if (home := environ.get("HOME", "")).startswith("/") and os.access(home, os.W_OK):
        return Path(home) / ".cache" / "sequence"
    return state_directory(settings) / "cache"


def _absolute(variable: str, value: str) -> Path:
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise SettingsError(f"{variable}: {value} starts with the home directory of a user who has none") from error
