"""Settings that several processes share: addresses, logins, certificates, and how Kafka clients connect."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import (
    ClickHouseSettings,
    DedupeSettings,
    KafkaSettings,
    SettingsError,
    TopicSettings,
    declarations,
    environment,
    kafka_arguments,
    load,
)


@pytest.mark.parametrize("shared", [KafkaSettings, ClickHouseSettings])
def test_passwords_of_the_shared_settings_are_secret(shared: type[KafkaSettings | ClickHouseSettings]) -> None:
    assert "sesame" not in repr(shared(password="sesame"))


@pytest.mark.parametrize("shared", [KafkaSettings, ClickHouseSettings, TopicSettings, DedupeSettings])
def test_defaults_are_valid(shared: type[Any]) -> None:
    assert load(shared, environment(shared())) == shared()


@pytest.mark.parametrize("prefix", ["", "a b", "shop/events", "ä", "p" * 201])
def test_topic_prefix_is_part_of_a_topic_name(prefix: str) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_TOPIC_PREFIX: must be 1 to 200 letters, digits"):
        load(KafkaSettings, {"SEQUENCE_TOPIC_PREFIX": prefix})


@pytest.mark.parametrize("prefix", ["sequence", "Shop-1_eu.west", "p" * 200])
def test_topic_prefix_that_kafka_takes_is_kept(prefix: str) -> None:
    assert load(KafkaSettings, {"SEQUENCE_TOPIC_PREFIX": prefix}).topic_prefix == prefix


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
    context = kafka_arguments(KafkaSettings(security_protocol="SSL"))["ssl_context"].current()

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


@pytest.mark.parametrize("servers", ["", " , ", "kafka:abc", "SSL://kafka:9092", "kafka:65536", "::1:9092"])
def test_invalid_kafka_servers_are_rejected(servers: str) -> None:
    with pytest.raises(SettingsError, match=f"SEQUENCE_KAFKA_SERVERS: must .*, got {re.escape(repr(servers))}$"):
        load(KafkaSettings, {"SEQUENCE_KAFKA_SERVERS": servers})


@pytest.mark.parametrize("url", ["", "nonsense", "localhost:8123", "ftp://host", "http://", "http://host:abc"])
def test_invalid_clickhouse_url_is_rejected(url: str) -> None:
    with pytest.raises(SettingsError, match=f"SEQUENCE_CLICKHOUSE_URL: must .*, got {re.escape(repr(url))}$"):
        load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_URL": url})


@pytest.mark.parametrize(
    ("url", "own", "username", "password"),
    [
        ("http://ada:se%40me@h:8123/ch/", {}, "ada", "se@me"),
        ("http://ada:sesame@h", {"USERNAME": "", "PASSWORD": ""}, "ada", "sesame"),
        ("http://ada:sesame@h", {"USERNAME": "ada", "PASSWORD": "sesame"}, "ada", "sesame"),
        ("http://ada@h", {"PASSWORD": "sesame"}, "ada", "sesame"),
        ("http://:sesame@h", {"USERNAME": "ada"}, "ada", "sesame"),
        ("http://:sesame@h", {}, "default", "sesame"),
        ("http://h", {"USERNAME": "ada", "PASSWORD": "sesame"}, "ada", "sesame"),
    ],
)
def test_login_of_the_clickhouse_url_is_used(url: str, own: dict[str, str], username: str, password: str) -> None:
    environ = {f"SEQUENCE_CLICKHOUSE_{name}": value for name, value in own.items()}
    settings = load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_URL": url, **environ})

    assert (settings.username, settings.password) == (username, password)
    assert settings.url == re.sub("//.*@", "//", url)
    assert load(ClickHouseSettings, environment(settings)) == settings


def test_two_different_logins_are_rejected_together_with_other_errors() -> None:
    environ = {
        "SEQUENCE_CLICKHOUSE_URL": "http://ada:sesame@h",
        "SEQUENCE_CLICKHOUSE_USERNAME": "default",
        "SEQUENCE_CLICKHOUSE_PASSWORD": "other-sesame",
        "SEQUENCE_PARTITIONS": "0",
    }
    with pytest.raises(SettingsError) as caught:
        load(ClickHouseAndTopics, environ)

    assert str(caught.value).splitlines() == [
        "SEQUENCE_CLICKHOUSE_USERNAME: differs from the username in SEQUENCE_CLICKHOUSE_URL; set one of them",
        "SEQUENCE_CLICKHOUSE_PASSWORD: differs from the password in SEQUENCE_CLICKHOUSE_URL; set one of them",
        "SEQUENCE_PARTITIONS: must be at least 1, got '0'",
    ]


@dataclass(frozen=True, slots=True)
class ClickHouseAndTopics:
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)


@pytest.mark.parametrize(
    "url", ["ftp://ada:sesame@h", "ada:sesame@h:8123", "http://ada:sesame@h:0", "http://a:sesame#@h"]
)
def test_password_in_a_url_appears_in_no_error_and_no_repr(url: str) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_CLICKHOUSE_URL") as caught:
        load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_URL": url})
    assert "sesame" not in str(caught.value)
    assert "sesame" not in repr(load(ClickHouseSettings, {"SEQUENCE_CLICKHOUSE_URL": "http://ada:sesame@h"}))
