"""Settings as data: frozen dataclasses filled from an `environ` mapping, all errors said at once.

Each process has one dataclass of its own (`gateway.settings`, `processors.settings`, `deploy.settings`) that nests the
ones for its dependencies; those that both sides share stand here. A field is declared with `setting`, which names its
variable and says in one line what it does; README's table is tested against these declarations.
"""

from __future__ import annotations

import dataclasses
import math
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class SettingsError(ValueError):
    """One or more variables hold what they must not; the message has a line for each."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One setting as README's table shows it."""

    variable: str
    default: Any
    about: str


def setting(
    variable: str, default: T, about: str, *, check: Callable[[T], bool] | None = None, secret: bool = False
) -> T:
    """Declare a field that comes from *variable*; its type is that of *default* (str, int, float or bool).

    *check* returns whether a value is allowed; *secret* keeps it out of `repr` and of messages.
    """
    metadata = {"variable": variable, "about": about, "check": check, "secret": secret}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def positive(value: float) -> bool:
    """Return whether *value* is above zero: the commonest check."""
    return value > 0


def load(cls: type[T], environ: Mapping[str, str] = os.environ) -> T:
    """Fill *cls* and the dataclasses nested in it from *environ*; raise `SettingsError` with every fault found."""
    faults: list[str] = []
    loaded = _fill(cls, environ, faults)
    if faults:
        raise SettingsError("\n".join(faults))
    return loaded


def declarations(cls: type[Any]) -> Iterator[Declaration]:
    """Yield every setting of *cls* and of the dataclasses nested in it."""
    for field in dataclasses.fields(cls):
        if "variable" in field.metadata:
            yield Declaration(field.metadata["variable"], field.default, field.metadata["about"])
        elif (nested := _nested(field)) is not None:
            yield from declarations(nested)


def environment(settings: Any) -> dict[str, str]:
    """Return the variables that `load` would read *settings* from: how a parent hands them to a child process."""
    variables: dict[str, str] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if "variable" in field.metadata:
            variables[field.metadata["variable"]] = str(value)
        elif dataclasses.is_dataclass(value):
            variables.update(environment(value))
    return variables


def _fill(cls: type[T], environ: Mapping[str, str], faults: list[str]) -> T:
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # callers pass dataclasses
        if "variable" not in field.metadata:
            if (nested := _nested(field)) is not None:
                values[field.name] = _fill(nested, environ, faults)
            continue
        text = environ.get(field.metadata["variable"])
        if text is None or (text == "" and not isinstance(field.default, str)):
            continue
        try:
            values[field.name] = _parse(text, field)
        except ValueError as error:
            got = "" if field.metadata["secret"] else f", got {text!r}"
            faults.append(f"{field.metadata['variable']}: {error}{got}")
    return cls(**values)


def _nested(field: dataclasses.Field[Any]) -> type[Any] | None:
    """Return the settings dataclass that *field* holds, None where it holds a plain value."""
    factory: Any = field.default_factory
    return factory if isinstance(factory, type) and dataclasses.is_dataclass(factory) else None


def _parse(text: str, field: dataclasses.Field[Any]) -> Any:
    kind: Any = type(field.default)
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError("needs true or false")
        return text.lower() in _TRUE
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"needs {'a whole number' if kind is int else 'a number'}") from None
    if kind is float and not math.isfinite(value):
        raise ValueError("needs a number")
    check = field.metadata["check"]
    if check is not None and not check(value):
        raise ValueError("is out of range" if kind in (int, float) else "is not one of the values allowed")
    return value


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach Kafka, and how its topics are named."""

    bootstrap_servers: str = setting("SEQUENCE_KAFKA_SERVERS", "127.0.0.1:9092", "Kafka's addresses, comma-separated")
    security_protocol: str = setting(
        "SEQUENCE_KAFKA_SECURITY_PROTOCOL",
        "PLAINTEXT",
        "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`",
        check=lambda value: value in {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"},
    )
    sasl_mechanism: str = setting(
        "SEQUENCE_KAFKA_SASL_MECHANISM",
        "PLAIN",
        "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`",
        check=lambda value: value in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"},
    )
    username: str = setting("SEQUENCE_KAFKA_USERNAME", "", "User for SASL")
    password: str = setting("SEQUENCE_KAFKA_PASSWORD", "", "Password for SASL", secret=True)
    ca_file: str = setting("SEQUENCE_KAFKA_CA_FILE", "", "Certificates that sign the brokers'; the system's when empty")
    topic_prefix: str = setting("SEQUENCE_TOPIC_PREFIX", "sequence", "First part of every topic's name")


def kafka_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """Return what every aiokafka client takes to connect: addresses, TLS and SASL.

    Certificates and host names are always checked. Raises `SettingsError` where the file of certificates cannot be
    read, or where SASL is asked for without a user.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",") if server.strip()],
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        try:
            arguments["ssl_context"] = ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as error:
            raise SettingsError(f"SEQUENCE_KAFKA_CA_FILE: {error.strerror}, got {settings.ca_file!r}") from error
    if settings.security_protocol.startswith("SASL"):
        if not settings.username:
            raise SettingsError(f"SEQUENCE_KAFKA_USERNAME: is needed for {settings.security_protocol}")
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.username
        arguments["sasl_plain_password"] = settings.password
    return arguments


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """How topics are made, and how long records are kept."""

    partitions: int = setting(
        "SEQUENCE_PARTITIONS", 4, "Partitions of each topic; fixed once they are made", check=positive
    )
    replication_factor: int = setting("SEQUENCE_REPLICATION_FACTOR", 1, "Replicas of each partition", check=positive)
    min_insync_replicas: int = setting(
        "SEQUENCE_MIN_INSYNC_REPLICAS", 1, "Replicas that must hold a record before it counts", check=positive
    )
    items_retention_days: int = setting(
        "SEQUENCE_ITEMS_RETENTION_DAYS", 7, "Days that items stay on `items.v1`", check=positive
    )
    dedupe_window_days: float = setting(
        "SEQUENCE_DEDUPE_WINDOW_DAYS", 7.0, "Days in which a repeated messageId is dropped", check=positive
    )


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """How to reach ClickHouse over HTTP."""

    url: str = setting("SEQUENCE_CLICKHOUSE_URL", "http://127.0.0.1:8123", "ClickHouse's HTTP address")
    username: str = setting("SEQUENCE_CLICKHOUSE_USERNAME", "default", "User that writes")
    password: str = setting("SEQUENCE_CLICKHOUSE_PASSWORD", "", "That user's password", secret=True)
    database: str = setting(
        "SEQUENCE_CLICKHOUSE_DATABASE",
        "sequence",
        "Database of the tables: letters, digits and underscores",
        check=lambda value: value.isidentifier() and value.isascii(),
    )
