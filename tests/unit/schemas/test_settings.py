"""Settings come from the environment, whole or not at all."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from schemas.settings import (
    ClickHouseSettings,
    KafkaSettings,
    SettingsError,
    TopicSettings,
    declarations,
    environment,
    kafka_arguments,
    load,
    positive,
    setting,
)


@dataclass(frozen=True, slots=True)
class Inner:
    """A part."""

    key: str = setting("T_KEY", "none", "A secret", secret=True, check=lambda value: len(value) >= 4)


@dataclass(frozen=True, slots=True)
class Outer:
    """A process."""

    inner: Inner = field(default_factory=Inner)
    name: str = setting("T_NAME", "a", "A name")
    count: int = setting("T_COUNT", 3, "A count", check=positive)
    rate: float = setting("T_RATE", 0.5, "A rate", check=positive)
    on: bool = setting("T_ON", default=False, about="A switch")


ALL = {"T_KEY": "sesame", "T_NAME": "b", "T_COUNT": "4", "T_RATE": "1.5", "T_ON": "yes", "OTHER": "x"}


def test_without_variables_every_setting_has_its_default() -> None:
    assert load(Outer, {}) == Outer(Inner("none"), "a", 3, 0.5, on=False)


def test_every_variable_is_read_nested_ones_too() -> None:
    assert load(Outer, ALL) == Outer(Inner("sesame"), "b", 4, 1.5, on=True)


def test_all_faults_are_said_at_once_each_with_its_variable() -> None:
    with pytest.raises(SettingsError) as caught:
        load(Outer, {"T_KEY": "abc", "T_COUNT": "many", "T_RATE": "-1", "T_ON": "maybe"})

    assert str(caught.value).splitlines() == [
        "T_KEY: is not one of the values allowed",
        "T_COUNT: needs a whole number, got 'many'",
        "T_RATE: is out of range, got '-1'",
        "T_ON: needs true or false, got 'maybe'",
    ]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "1,5", "x"])
def test_a_number_is_a_finite_one(text: str) -> None:
    with pytest.raises(SettingsError, match="T_RATE: needs a number"):
        load(Outer, {"T_RATE": text})


@pytest.mark.parametrize("text", ["1.5", "1e3", "0x10", "four"])
def test_a_count_is_a_whole_number(text: str) -> None:
    with pytest.raises(SettingsError, match="T_COUNT: needs a whole number"):
        load(Outer, {"T_COUNT": text})


@pytest.mark.parametrize(("text", "on"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False)])
def test_a_switch_is_read_as_people_write_it(text: str, on: bool) -> None:  # noqa: FBT001  # it is the value
    assert load(Outer, {"T_ON": text}).on is on


def test_an_empty_variable_is_an_empty_text_and_no_number() -> None:
    assert load(Outer, {"T_NAME": "", "T_COUNT": "", "T_RATE": "", "T_ON": ""}) == Outer(name="")


def test_a_secret_is_neither_shown_nor_said() -> None:
    settings = load(Outer, ALL)

    assert "sesame" not in repr(settings)
    assert "sesame" not in str(settings)
    with pytest.raises(SettingsError) as caught:
        load(Outer, {"T_KEY": "abc"})
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("shared", [KafkaSettings, ClickHouseSettings])
def test_passwords_of_the_shared_settings_are_secret(shared: type[KafkaSettings | ClickHouseSettings]) -> None:
    assert "sesame" not in repr(shared(password="sesame"))


def test_a_child_process_reads_what_its_parent_hands_on() -> None:
    settings = load(Outer, ALL)

    assert load(Outer, environment(settings)) == settings
    assert environment(settings)["T_KEY"] == "sesame"


@pytest.mark.parametrize("shared", [KafkaSettings, ClickHouseSettings, TopicSettings, Outer])
def test_the_defaults_pass_their_own_checks(shared: type[KafkaSettings]) -> None:
    assert load(shared, environment(shared())) == shared()


def test_every_setting_is_declared_with_its_variable_default_and_meaning() -> None:
    assert [(each.variable, each.default, each.about) for each in declarations(Outer)] == [
        ("T_KEY", "none", "A secret"),
        ("T_NAME", "a", "A name"),
        ("T_COUNT", 3, "A count"),
        ("T_RATE", 0.5, "A rate"),
        ("T_ON", False, "A switch"),
    ]


def test_shared_variables_are_of_the_product_and_not_declared_twice() -> None:
    variables = [
        each.variable for part in (KafkaSettings, ClickHouseSettings, TopicSettings) for each in declarations(part)
    ]

    assert all(variable.startswith("SEQUENCE_") for variable in variables)
    assert len(set(variables)) == len(variables)


def test_kafka_clients_connect_without_more_than_addresses() -> None:
    assert kafka_arguments(KafkaSettings(bootstrap_servers="a:1, b:2,")) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
    }


def test_kafka_clients_check_certificates_and_host_names() -> None:
    context = kafka_arguments(KafkaSettings(security_protocol="SSL"))["ssl_context"]

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_kafka_clients_take_user_password_and_mechanism() -> None:
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


def test_kafka_settings_that_cannot_work_name_their_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SEQUENCE_KAFKA_USERNAME"):
        kafka_arguments(KafkaSettings(security_protocol="SASL_SSL"))
    with pytest.raises(SettingsError, match="SEQUENCE_KAFKA_CA_FILE"):
        kafka_arguments(KafkaSettings(security_protocol="SSL", ca_file=str(tmp_path / "missing.pem")))
