"""Settings of the local stack, `sequence up`. Its processes read their own settings from the same environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from schemas.settings import Count, KafkaSettings, Port, SettingsError, load, load_both, setting


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Directories of the local stack, the embedded broker, and the number of processes."""

    state_dir: str = setting("SEQUENCE_STATE_DIR", ".sequence", "Directory of all data of the local stack")
    cache_dir: str = setting("SEQUENCE_CACHE_DIR", "", "Directory of the downloaded Kafka jar files")
    maven_repository: str = setting(
        "SEQUENCE_MAVEN_REPOSITORY", "", "URL of the Maven repository that Kafka's jar files are downloaded from"
    )
    kafka_port: Port = setting("SEQUENCE_LOCAL_KAFKA_PORT", 9092, "Port of the embedded Kafka broker")
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
    """Return the settings of Kafka. Without SEQUENCE_KAFKA_SERVERS, it is the broker of the local stack."""
    if environ.get("SEQUENCE_KAFKA_SERVERS"):
        return load(KafkaSettings, environ)
    local, kafka = load_both(LocalSettings, KafkaSettings, environ)
    return replace(kafka, bootstrap_servers=f"127.0.0.1:{local.kafka_port}")


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
