"""Settings are read from environment variables, and all errors are reported together."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from schemas.settings import (
    ClickHouseSettings,
    Count,
    Declaration,
    DedupeSettings,
    KafkaSettings,
    SettingsError,
    TopicSettings,
    declarations,
    environment,
    kafka_arguments,
    load,
    setting,
)


def check_long_enough(value: str) -> None:
    if len(value) < 4:
        raise ValueError("must have at least 4 characters")


@dataclass(frozen=True, slots=True)
class Inner:
    """The settings of a dependency."""

    key: str = setting("T_KEY", "none", "A secret", secret=True, check=check_long_enough)
    name: str = setting("T_NAME", "a", "A name")


@dataclass(frozen=True, slots=True)
class Outer:
    """The settings of a process."""

    inner: Inner = field(default_factory=Inner)
    color: Literal["red", "green"] = setting("T_COLOR", "red", "A choice")
    port: Annotated[int, Meta(ge=0, le=65535)] = setting("T_PORT", 80, "A port")
    count: Count = setting("T_COUNT", 3, "A count")
    rate: Annotated[float, Meta(gt=0, extra={"unit": "items per second"})] = setting("T_RATE", 0.5, "A rate")
    limit: float = setting("T_LIMIT", 1.0, "A limit")
    on: bool = setting("T_ON", default=False, about="A switch")


ALL = {
    "T_KEY": "sesame",
    "T_NAME": "b",
    "T_COLOR": "green",
    "T_PORT": "0",
    "T_COUNT": "4",
    "T_RATE": "1.5",
    "T_LIMIT": "-2",
    "T_ON": "yes",
    "OTHER": "x",
}


def test_unset_variables_keep_the_defaults() -> None:
    assert load(Outer, {}) == Outer(Inner("none", "a"), "red", 80, 3, 0.5, 1.0, on=False)


def test_all_variables_are_read_including_nested_ones() -> None:
    assert load(Outer, ALL) == Outer(Inner("sesame", "b"), "green", 0, 4, 1.5, -2.0, on=True)


def test_all_errors_are_reported_together_with_variable_range_and_value() -> None:
    invalid = {
        "T_KEY": "abc",
        "T_COLOR": "blue",
        "T_PORT": "99999",
        "T_COUNT": "0",
        "T_RATE": "-1",
        "T_LIMIT": "low",
        "T_ON": "maybe",
    }
    with pytest.raises(SettingsError) as caught:
        load(Outer, invalid)

    assert str(caught.value).splitlines() == [
        "T_KEY: must have at least 4 characters",
        "T_COLOR: must be one of red, green, got 'blue'",
        "T_PORT: must be between 0 and 65535, got '99999'",
        "T_COUNT: must be at least 1, got '0'",
        "T_RATE: must be greater than 0, got '-1'",
        "T_LIMIT: must be a number, got 'low'",
        "T_ON: must be true or false, got 'maybe'",
    ]


@pytest.mark.parametrize("variable", ["T_RATE", "T_LIMIT"])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_nan_and_infinity_are_rejected(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: must be a finite number, got '{text}'"):
        load(Outer, {variable: text})


@pytest.mark.parametrize("text", ["1,5", "x", "1.5.0", "null"])
def test_text_is_rejected_where_a_number_is_expected(text: str) -> None:
    with pytest.raises(SettingsError, match="T_RATE: must be a number"):
        load(Outer, {"T_RATE": text})


@pytest.mark.parametrize("text", ["1.5", "1.0", "1e3", "0x10", "four"])
def test_fractions_and_other_notations_are_no_whole_numbers(text: str) -> None:
    with pytest.raises(SettingsError, match="T_COUNT: must be a whole number"):
        load(Outer, {"T_COUNT": text})


@pytest.mark.parametrize(("text", "value"), [(" 4 ", 4), ("007", 7), ("+4", 4), ("9" * 400, int("9" * 400))])
def test_whole_numbers_are_read_as_python_reads_them(text: str, value: int) -> None:
    assert load(Outer, {"T_COUNT": text}).count == value


@pytest.mark.parametrize(("text", "value"), [(".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), (" 2", 2.0)])
def test_numbers_are_read_as_python_reads_them(text: str, value: float) -> None:
    assert load(Outer, {"T_RATE": text}).rate == value


@pytest.mark.parametrize("text", ["0", "65535"])
def test_the_limits_of_a_range_are_allowed(text: str) -> None:
    assert load(Outer, {"T_PORT": text}).port == int(text)


@pytest.mark.parametrize(("text", "on"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False)])
def test_booleans_have_several_spellings(text: str, on: bool) -> None:  # noqa: FBT001  # it is the value
    assert load(Outer, {"T_ON": text}).on is on


def test_empty_variable_sets_a_text_and_keeps_any_other_default() -> None:
    empty = dict.fromkeys(("T_NAME", "T_PORT", "T_COUNT", "T_RATE", "T_ON"), "")

    assert load(Outer, empty) == Outer(Inner(name=""))


def test_secrets_are_absent_from_repr_and_errors() -> None:
    settings = load(Outer, ALL)

    assert "sesame" not in repr(settings)
    assert "sesame" not in str(settings)
    with pytest.raises(SettingsError) as caught:
        load(Outer, {"T_KEY": "abc"})
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("shared", [KafkaSettings, ClickHouseSettings])
def test_passwords_of_the_shared_settings_are_secret(shared: type[KafkaSettings | ClickHouseSettings]) -> None:
    assert "sesame" not in repr(shared(password="sesame"))


def test_child_process_reads_the_settings_of_its_parent() -> None:
    settings = load(Outer, ALL)

    assert load(Outer, environment(settings)) == settings
    assert environment(settings)["T_KEY"] == "sesame"


@pytest.mark.parametrize("shared", [KafkaSettings, ClickHouseSettings, TopicSettings, DedupeSettings, Outer])
def test_defaults_are_valid(shared: type[Any]) -> None:
    assert load(shared, environment(shared())) == shared()


def test_declarations_show_type_range_unit_default_and_meaning() -> None:
    assert list(declarations(Outer)) == [
        Declaration("T_KEY", "none", "A secret", "text", "", "", secret=True),
        Declaration("T_NAME", "a", "A name", "text", "", "", secret=False),
        Declaration("T_COLOR", "red", "A choice", "choice", "one of red, green", "", secret=False),
        Declaration("T_PORT", 80, "A port", "whole number", "between 0 and 65535", "", secret=False),
        Declaration("T_COUNT", 3, "A count", "whole number", "at least 1", "", secret=False),
        Declaration("T_RATE", 0.5, "A rate", "number", "greater than 0", "items per second", secret=False),
        Declaration("T_LIMIT", 1.0, "A limit", "number", "", "", secret=False),
        Declaration("T_ON", False, "A switch", "true or false", "", "", secret=False),  # noqa: FBT003  # the default
    ]


def test_setting_nested_twice_is_reported_once() -> None:
    @dataclass(frozen=True, slots=True)
    class Both:
        first: Outer = field(default_factory=Outer)
        second: Outer = field(default_factory=Outer)

    with pytest.raises(SettingsError) as caught:
        load(Both, {"T_PORT": "many"})
    assert str(caught.value) == "T_PORT: must be a whole number, got 'many'"


@pytest.mark.parametrize("name", ["1a", "a-b", "a b", "", "é", "a`"])
def test_database_name_needs_no_quotes_in_a_statement(name: str) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_CLICKHOUSE_DATABASE: must consist of letters, digits"):
        load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_DATABASE": name})


def test_security_protocol_error_lists_the_choices() -> None:
    with pytest.raises(SettingsError) as caught:
        load(KafkaSettings, {"SEQUENCE_KAFKA_SECURITY_PROTOCOL": "TLS"})

    assert str(caught.value) == (
        "SEQUENCE_KAFKA_SECURITY_PROTOCOL: must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, got 'TLS'"
    )


def test_shared_variables_start_with_sequence_and_are_declared_once() -> None:
    variables = [
        each.variable for part in (KafkaSettings, ClickHouseSettings, TopicSettings) for each in declarations(part)
    ]

    assert all(variable.startswith("SEQUENCE_") for variable in variables)
    assert len(set(variables)) == len(variables)


def test_kafka_clients_connect_with_addresses_alone() -> None:
    assert kafka_arguments(KafkaSettings(bootstrap_servers="a:1, b:2,")) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
    }


def test_kafka_clients_verify_certificates_and_host_names() -> None:
    context = kafka_arguments(KafkaSettings(security_protocol="SSL"))["ssl_context"]

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_kafka_clients_authenticate_with_user_password_and_mechanism() -> None:
    settings = KafkaSettings(
        security_protocol="SASL_PLAINTEXT", sasl_mechanism="SCRAM-SHA-512", username="u", password="sesame"
    )

    assert kafka_arguments(settings) == {
        "bootstrap_servers": ["127.0.0.1:9092"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "sesame",
    }


def test_unusable_kafka_settings_name_their_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_KAFKA_USERNAME"):
        kafka_arguments(KafkaSettings(security_protocol="SASL_SSL"))
    with pytest.raises(SettingsError, match="SEQUENCE_KAFKA_CA_FILE"):
        kafka_arguments(KafkaSettings(security_protocol="SSL", ca_file=str(tmp_path / "missing.pem")))


@pytest.mark.parametrize("servers", ["kafka:9092", "kafka", "a:1, b:2,", "[::1]:9092", "::1", "10.0.0.1:65535"])
def test_kafka_servers_are_hosts_with_ports(servers: str) -> None:
    assert load(KafkaSettings, {"SEQUENCE_KAFKA_SERVERS": servers}).bootstrap_servers == servers


@pytest.mark.parametrize("servers", ["", " , ", "kafka:abc", "kafka:", "http://kafka:9092", "kafka:65536"])
def test_invalid_kafka_servers_are_rejected(servers: str) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_KAFKA_SERVERS: must be host:port, comma-separated, got"):
        load(KafkaSettings, {"SEQUENCE_KAFKA_SERVERS": servers})


@pytest.mark.parametrize("url", ["", "nonsense", "localhost:8123", "ftp://host", "http://", "http://host:abc"])
def test_invalid_clickhouse_url_is_rejected(url: str) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_CLICKHOUSE_URL: must be a URL such as http://"):
        load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_URL": url})
