"""Settings that several processes share: how to connect to Kafka and ClickHouse, the topics, and the dedupe window.

`schemas.loading` has the mechanism. Its names are exported here, so that a declaration needs one import.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from schemas.addresses import brokers, http_url
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
    load_both,
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
    "load_both",
    "setting",
    "tls_context",
]


_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,200}")


def check_topic_prefix(prefix: str) -> None:
    """Raise ValueError unless Kafka takes *prefix* as the beginning of a topic's name of at most 249 characters."""
    if not _TOPIC_PREFIX.fullmatch(prefix):
        raise ValueError("must be 1 to 200 letters, digits, `.`, `_` and `-`")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to connect to Kafka, and the prefix of its topics."""

    bootstrap_servers: str = setting(
        "SEQUENCE_KAFKA_SERVERS", "127.0.0.1:9092", "Addresses of Kafka brokers, comma-separated", check=brokers
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
    topic_prefix: str = setting(
        "SEQUENCE_TOPIC_PREFIX", "sequence", "First part of every topic name", check=check_topic_prefix
    )


def kafka_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments with which every aiokafka client connects: addresses, TLS and SASL.

    Certificates and host names are always verified. Raises `SettingsError` if the CA file cannot be read, or if SASL
    has no user name.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": brokers(settings.bootstrap_servers),
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = tls_context("SEQUENCE_KAFKA_CA_FILE", settings.ca_file)
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


def tls_context(variable: str, ca_file: str) -> ssl.SSLContext:
    """Return the context that verifies a server by *ca_file*, or by the system's CA certificates if that is empty.

    Raises `SettingsError`, which names *variable*, if the file cannot be read or has no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        reason = "it has no certificate in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(f"{variable}: cannot be read, got {ca_file!r}: {reason}") from error


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


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """How to connect to ClickHouse over HTTP. A loaded URL has no login: it is in *username* and *password*."""

    url: str = setting("SEQUENCE_CLICKHOUSE_URL", "http://127.0.0.1:8123", "HTTP address of ClickHouse", check=http_url)
    username: str = setting("SEQUENCE_CLICKHOUSE_USERNAME", "default", "ClickHouse user that writes the tables")
    password: str = setting(
        "SEQUENCE_CLICKHOUSE_PASSWORD", "", "Password of `SEQUENCE_CLICKHOUSE_USERNAME`", secret=True
    )
    ca_file: str = setting(
        "SEQUENCE_CLICKHOUSE_CA_FILE", "", "File of CA certificates (PEM) that verify the ClickHouse server"
    )
    database: str = setting(
        "SEQUENCE_CLICKHOUSE_DATABASE", "sequence", "ClickHouse database of the tables", check=check_database_name
    )

    @staticmethod
    def complete(given: Mapping[str, Any]) -> dict[str, Any]:
        """Return *given* with the user name and password of the URL in their own fields.

        Raises `SettingsError` if the URL and a variable of its own differ.
        """
        if not given.get("url"):
            return dict(given)
        url = http_url(given["url"])
        login = {"username": url.username, "password": url.password}
        conflicts = [
            f"SEQUENCE_CLICKHOUSE_{name.upper()}: differs from the {name} in SEQUENCE_CLICKHOUSE_URL; set one of them"
            for name, value in login.items()
            if value and given.get(name) not in (None, "", value)
        ]
        if conflicts:
            raise SettingsError("\n".join(conflicts))
        return {**given, "url": url.without_login, **{name: value for name, value in login.items() if value}}
