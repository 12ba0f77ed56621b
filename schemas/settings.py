"""Settings: frozen dataclasses filled from environment variables, with all errors reported together.

Each process has one dataclass (`gateway.settings`, `processors.settings`, `deploy.settings`) that nests those of its
dependencies; the ones that gateway and workers share are declared here. A field is declared once, with `setting`: its
annotation is the type and the range, as msgspec's `Meta`. `docs/settings.md` is tested against these declarations.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

T = TypeVar("T")

Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Bytes = Annotated[int, Meta(ge=1, extra={"unit": "bytes"})]
Seconds = Annotated[float, Meta(gt=0, extra={"unit": "seconds"})]
Days = Annotated[float, Meta(gt=0, extra={"unit": "days"})]

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class SettingsError(ValueError):
    """One or more settings are invalid; the message has one line for each."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One setting as the documentation shows it."""

    variable: str
    default: Any
    about: str
    """What it is, in one line."""
    type: str
    """`text`, `whole number`, `number`, `true or false`, or `choice`."""
    range: str
    """Which values are allowed, as in the error message: `between 0 and 65535`. Empty without a limit."""
    unit: str
    secret: bool


def setting(
    variable: str, default: T, about: str, *, check: Callable[[T], object] | None = None, secret: bool = False
) -> T:
    """Declare a field that is read from the environment variable *variable*.

    The field's annotation is str, int, float, bool, a `Literal` of strings, or one of these `Annotated` with a `Meta`
    that gives its range, and its unit as `extra={"unit": …}`. *check* is for what no range expresses: it raises
    ValueError with a phrase such as `must be a path`. *secret* keeps the value out of `repr` and of error messages.
    """
    metadata = {"variable": variable, "about": about, "check": check, "secret": secret}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def load(cls: type[T], environ: Mapping[str, str] = os.environ) -> T:
    """Fill *cls* and the dataclasses nested in it from *environ*.

    A variable that is unset keeps the default, and so does an empty one where the setting is no text. Raises
    `SettingsError` with every invalid variable.
    """
    faults: dict[str, str] = {}
    loaded = _fill(cls, environ, faults)
    if faults:
        raise SettingsError("\n".join(f"{variable}: {fault}" for variable, fault in faults.items()))
    return loaded


def declarations(cls: type[Any]) -> Iterator[Declaration]:
    """Yield every setting of *cls* and of the dataclasses nested in it."""
    hints = get_type_hints(cls, include_extras=True)
    for declared in dataclasses.fields(cls):
        if "variable" in declared.metadata:
            base, meta = _split(hints[declared.name])
            yield Declaration(
                variable=declared.metadata["variable"],
                default=declared.default,
                about=declared.metadata["about"],
                type="choice" if get_origin(base) is Literal else _KINDS[base],
                range=_range(base, meta),
                unit=(meta.extra or {}).get("unit", "") if meta else "",
                secret=declared.metadata["secret"],
            )
        elif (nested := _nested(declared)) is not None:
            yield from declarations(nested)


def environment(settings: Any) -> dict[str, str]:
    """Return the variables from which `load` would read *settings*: how a parent passes them to a child process."""
    variables: dict[str, str] = {}
    for declared in dataclasses.fields(settings):
        value = getattr(settings, declared.name)
        if "variable" in declared.metadata:
            variables[declared.metadata["variable"]] = str(value)
        elif dataclasses.is_dataclass(value):
            variables.update(environment(value))
    return variables


def _fill(cls: type[T], environ: Mapping[str, str], faults: dict[str, str]) -> T:
    values: dict[str, Any] = {}
    hints = get_type_hints(cls, include_extras=True)
    for declared in dataclasses.fields(cls):  # type: ignore[arg-type]  # callers pass dataclasses
        if "variable" not in declared.metadata:
            if (nested := _nested(declared)) is not None:
                values[declared.name] = _fill(nested, environ, faults)
            continue
        variable = declared.metadata["variable"]
        text = environ.get(variable)
        if text is None or (text == "" and not isinstance(declared.default, str)):
            continue
        try:
            values[declared.name] = _parse(text, hints[declared.name], declared.metadata["check"])
        except ValueError as error:
            faults[variable] = str(error) if declared.metadata["secret"] else f"{error}, got {text!r}"
    return cls(**values)


def _nested(declared: dataclasses.Field[Any]) -> type[Any] | None:
    """Return the settings dataclass that the field holds, None where it holds a plain value."""
    factory: Any = declared.default_factory
    return factory if isinstance(factory, type) and dataclasses.is_dataclass(factory) else None


_KINDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def _parse(text: str, annotation: Any, check: Callable[[Any], object] | None) -> Any:
    base, meta = _split(annotation)
    value = _read(text, base)
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        raise ValueError(f"must be {_range(base, meta)}") from None
    if check is not None:
        check(value)
    return value


def _read(text: str, base: Any) -> Any:
    if base is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError("must be true or false")
        return text.lower() in _TRUE
    if base not in (int, float):
        return text
    # Not by msgspec: its lax mode takes 1e3 for a whole number, and not .5 for a number.
    try:
        value = base(text)
    except ValueError:
        raise ValueError(f"must be a {_KINDS[base]}") from None
    if base is float and not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _split(annotation: Any) -> tuple[Any, Meta | None]:
    """Return the type that *annotation* holds, and its `Meta`."""
    if get_origin(annotation) is Annotated:
        base, meta = get_args(annotation)
        return base, meta
    return annotation, None


def _range(base: Any, meta: Meta | None) -> str:
    """Return which values of *base* are allowed, as it reads after "must be"."""
    if get_origin(base) is Literal:
        return f"one of {', '.join(get_args(base))}"
    if meta is None:
        return ""
    if meta.ge is not None and meta.le is not None:
        return f"between {meta.ge} and {meta.le}"
    return f"at least {meta.ge}" if meta.ge is not None else f"greater than {meta.gt}"


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
