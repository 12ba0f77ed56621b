"""Settings that several processes share: how to connect to Kafka and ClickHouse, the topics, and the dedupe window.

`schemas.loading` has the mechanism. Its names are exported here, so that a declaration needs one import.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from schemas.loading import (
    Bytes,
    Count,
    Days,
    Declaration,
    Port,
    Seconds,
    SettingsError,
    declarations,
    environment,
    load,
    setting,
)

__all__ = [
    "Bytes",
    "ClickHouseSettings",
    "Count",
    "Days",
    "Declaration",
    "DedupeSettings",
    "KafkaSettings",
    "Port",
    "Seconds",
    "SettingsError",
    "TopicSettings",
    "declarations",
    "environment",
    "kafka_arguments",
    "load",
    "setting",
]


def check_servers(servers: str) -> None:
    """Raise ValueError unless *servers* is a comma-separated list of `host:port`, or `host` for port 9092."""
    found = [server.strip() for server in servers.split(",") if server.strip()]
    if not found or not all(_is_server(server) for server in found):
        raise ValueError("must be host:port, comma-separated")


def _is_server(server: str) -> bool:
    host, colon, port = server.rpartition(":")
    is_ipv6 = ":" in host and not host.startswith("[")
    return "/" not in server and (not colon or is_ipv6 or (port.isdecimal() and int(port) <= 65535))


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to connect to Kafka, and the prefix of its topics."""

    bootstrap_servers: str = setting(
        "SEQUENCE_KAFKA_SERVERS", "127.0.0.1:9092", "Addresses of Kafka brokers, comma-separated", check=check_servers
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = setting(
        "SEQUENCE_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", "Protocol used to connect to the brokers"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = setting(
        "SEQUENCE_KAFKA_SASL_MECHANISM", "PLAIN", "SASL mechanism used to authenticate with the brokers"
    )
    username: str = setting("SEQUENCE_KAFKA_USERNAME", "", "User name for SASL")
    password: str = setting("SEQUENCE_KAFKA_PASSWORD", "", "Password for SASL", secret=True)
    ca_file: str = setting("SEQUENCE_KAFKA_CA_FILE", "", "File of CA certificates (PEM) that verify the brokers")
    topic_prefix: str = setting("SEQUENCE_TOPIC_PREFIX", "sequence", "First part of every topic name")


def kafka_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments with which every aiokafka client connects: addresses, TLS and SASL.

    Certificates and host names are always verified. Raises `SettingsError` if the CA file cannot be read, or if SASL
    has no user name.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",") if server.strip()],
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        try:
            arguments["ssl_context"] = ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as error:
            raise SettingsError(
                f"SEQUENCE_KAFKA_CA_FILE: cannot be read, got {settings.ca_file!r}: {error.strerror}"
            ) from error
    if settings.security_protocol.startswith("SASL"):
        if not settings.username:
            raise SettingsError(
                f"SEQUENCE_KAFKA_USERNAME: must not be empty with SEQUENCE_KAFKA_SECURITY_PROTOCOL="
                f"{settings.security_protocol}"
            )
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.username
        arguments["sasl_plain_password"] = settings.password
    return arguments


@dataclass(frozen=True, slots=True)
class DedupeSettings:
    """The dedupe window, which sets the retention of topics and which duplicates a dedupe worker drops."""

    window_days: Days = setting(
        "SEQUENCE_DEDUPE_WINDOW_DAYS", 7.0, "Time in which a second item with the same `messageId` is dropped"
    )


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """How topics are created, and how long they keep records."""

    partitions: Count = setting("SEQUENCE_PARTITIONS", 4, "Number of partitions of each topic")
    replication_factor: Count = setting("SEQUENCE_REPLICATION_FACTOR", 1, "Number of replicas of each partition")
    min_insync_replicas: Count = setting(
        "SEQUENCE_MIN_INSYNC_REPLICAS", 1, "Number of replicas that must store a record before it is acknowledged"
    )
    items_retention_days: Annotated[int, Meta(ge=1, extra={"unit": "days"})] = setting(
        "SEQUENCE_ITEMS_RETENTION_DAYS", 7, "Time that `items.v1` keeps items"
    )
    dedupe: DedupeSettings = field(default_factory=DedupeSettings)


def check_database_name(name: str) -> None:
    """Raise ValueError unless *name* can stand in a statement without quotes."""
    if not (name.isidentifier() and name.isascii()):
        raise ValueError("must consist of letters, digits and underscores, and not start with a digit")


def check_http_url(url: str) -> None:
    """Raise ValueError unless *url* begins with `http://` or `https://`, then host and optional port."""
    if not re.fullmatch(r"https?://([^\s/@]+@)?(\[[0-9a-fA-F:]+\]|[^\s/:@]+)(:\d{1,5})?(/\S*)?", url):
        raise ValueError("must be a URL such as http://127.0.0.1:8123")


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """How to connect to ClickHouse over HTTP."""

    url: str = setting(
        "SEQUENCE_CLICKHOUSE_URL", "http://127.0.0.1:8123", "HTTP address of ClickHouse", check=check_http_url
    )
    username: str = setting("SEQUENCE_CLICKHOUSE_USERNAME", "default", "ClickHouse user that writes the tables")
    password: str = setting(
        "SEQUENCE_CLICKHOUSE_PASSWORD", "", "Password of `SEQUENCE_CLICKHOUSE_USERNAME`", secret=True
    )
    database: str = setting(
        "SEQUENCE_CLICKHOUSE_DATABASE", "sequence", "ClickHouse database of the tables", check=check_database_name
    )
