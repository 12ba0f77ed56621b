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
from schemas.tls import Certificate, CurrentContext, Setting, client_context

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
    "certificate_fault",
    "clickhouse_context",
    "declarations",
    "environment",
    "kafka_arguments",
    "load",
    "load_both",
    "setting",
]


_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,200}")


def check_topic_prefix(prefix: str) -> None:
    """Raise ValueError unless Kafka takes *prefix* as the beginning of a topic's name of at most 249 characters."""
    if not _TOPIC_PREFIX.fullmatch(prefix):
        raise ValueError("must be 1 to 200 letters, digits, `.`, `_` and `-`")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to connect to Kafka, the prefix of its topics, and the disk space that its brokers keep."""

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
    cert_file: str = setting(
        "SEQUENCE_KAFKA_CERT_FILE",
        "",
        "File of the client certificate (PEM) that identifies the process to the brokers",
    )
    key_file: str = setting("SEQUENCE_KAFKA_KEY_FILE", "", "File of the private key (PEM) of the client certificate")
    topic_prefix: str = setting(
        "SEQUENCE_TOPIC_PREFIX", "sequence", "First part of every topic name", check=check_topic_prefix
    )
    # Above what gateways let through between two questions, and below what `sequence doctor` reports as an error.
    min_free_bytes: Annotated[int, Meta(ge=0, extra={"unit": "bytes"})] = setting(
        "SEQUENCE_KAFKA_MIN_FREE_BYTES",
        1024**3,
        "Free disk space of a broker below which gateways refuse requests; 0 lets them accept until the disk is full",
    )


def kafka_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments with which every aiokafka client connects: addresses, TLS and SASL.

    Certificates and host names are always verified. Raises `SettingsError` if a file of TLS cannot be used, or if SASL
    has no user name.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": brokers(settings.bootstrap_servers),
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        arguments["ssl_context"] = _kafka_context(settings)
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


def certificate_fault(settings: KafkaSettings) -> str:
    """Return what follows "Kafka is unreachable" if this process does not accept a broker's certificate, else nothing.

    aiokafka tells no more than that it could not connect.
    """
    if not (settings.security_protocol.endswith("SSL") and (fault := _kafka_context(settings).fault)):
        return ""
    return f": its certificate cannot be verified ({fault}), see SEQUENCE_KAFKA_CA_FILE"


def _kafka_context(settings: KafkaSettings) -> CurrentContext:
    # With TLS 1.3 a client sends the end of its handshake and its first request at once, and Kafka can leave that
    # request unanswered (https://github.com/confluentinc/librdkafka/issues/4581). TLS 1.2 waits for the server.
    newest = ssl.TLSVersion.TLSv1_2
    return client_context(
        Setting("SEQUENCE_KAFKA_CA_FILE", settings.ca_file),
        Certificate(
            Setting("SEQUENCE_KAFKA_CERT_FILE", settings.cert_file),
            Setting("SEQUENCE_KAFKA_KEY_FILE", settings.key_file),
        ),
        newest,
    )


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


def clickhouse_context(settings: ClickHouseSettings) -> ssl.SSLContext:
    """Return the TLS context of connections to ClickHouse; `SettingsError` if a file cannot be used."""
    return client_context(
        Setting("SEQUENCE_CLICKHOUSE_CA_FILE", settings.ca_file),
        Certificate(
            Setting("SEQUENCE_CLICKHOUSE_CERT_FILE", settings.cert_file),
            Setting("SEQUENCE_CLICKHOUSE_KEY_FILE", settings.key_file),
        ),
    )


def check_database_name(name: str) -> None:
    """Raise ValueError unless *name* can stand in a statement without quotes."""
    if not (name.isidentifier() and name.isascii()):
        raise ValueError("must consist of letters, digits and underscores, and not start with a digit")


_CLUSTER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def check_cluster_name(name: str) -> None:
    """Raise ValueError unless *name* is empty or a name of a cluster."""
    if name and not _CLUSTER.fullmatch(name):
        raise ValueError("must be at most 100 letters, digits, `_`, `.` and `-`")


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
    cert_file: str = setting(
        "SEQUENCE_CLICKHOUSE_CERT_FILE",
        "",
        "File of the client certificate (PEM) that identifies the process to ClickHouse",
    )
    key_file: str = setting(
        "SEQUENCE_CLICKHOUSE_KEY_FILE", "", "File of the private key (PEM) of the ClickHouse client certificate"
    )
    database: str = setting(
        "SEQUENCE_CLICKHOUSE_DATABASE", "sequence", "ClickHouse database of the tables", check=check_database_name
    )
    cluster: str = setting(
        "SEQUENCE_CLICKHOUSE_CLUSTER",
        "",
        "ClickHouse cluster whose servers are replicas of the tables; empty for one server",
        check=check_cluster_name,
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
