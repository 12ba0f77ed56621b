"""Settings of the local stack, `sequence up`. Everything else it runs reads its own from the same environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.settings import positive, setting


def _is_port(value: int) -> bool:
    return 0 < value < 65536


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Where the local stack keeps its state, where its broker listens, and how many of each part run."""

    state_dir: str = setting("SEQUENCE_STATE_DIR", ".sequence", "Directory of everything that the local stack keeps")
    cache_dir: str = setting(
        "SEQUENCE_CACHE_DIR", "", "Directory of Kafka's files; `sequence` in the user's cache directory when empty"
    )
    maven_repository: str = setting(
        "SEQUENCE_MAVEN_REPOSITORY", "", "Address that Kafka's files are fetched from; Maven Central when empty"
    )
    kafka_port: int = setting("SEQUENCE_LOCAL_KAFKA_PORT", 9092, "Port of the local broker", check=_is_port)
    kafka_fsync: bool = setting(
        "SEQUENCE_LOCAL_KAFKA_FSYNC",
        False,  # noqa: FBT003  # the default, as for every setting
        "Whether the local broker writes every record through to the disk: survives a power loss, costs throughput",
    )
    gateways: int = setting(
        "SEQUENCE_LOCAL_GATEWAYS", 1, "Gateways of the local stack, on consecutive ports", check=positive
    )
    workers: int = setting("SEQUENCE_LOCAL_WORKERS", 1, "Workers of each kind in the local stack", check=positive)


def state_directory(settings: LocalSettings) -> Path:
    """Return the absolute path of the state directory."""
    return Path(settings.state_dir).expanduser().absolute()


def cache_directory(settings: LocalSettings, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the absolute path of the cache: as set, else the user's, else within the state directory."""
    if settings.cache_dir:
        return Path(settings.cache_dir).expanduser().absolute()
    if (xdg := environ.get("XDG_CACHE_HOME", "")).startswith("/"):
        return Path(xdg) / "sequence"
    if (home := environ.get("HOME", "")).startswith("/") and os.access(home, os.W_OK):
        return Path(home) / ".cache" / "sequence"
    return state_directory(settings) / "cache"
