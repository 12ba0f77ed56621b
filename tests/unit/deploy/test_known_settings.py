"""Variables that look like a setting and are none: a mistyped name is not ignored silently."""

from __future__ import annotations

import logging

import pytest

from deploy.known_settings import unknown_variables, warn_of_unknown_variables

KNOWN = {
    "SEQUENCE_GATEWAY_PORT": "8080",
    "SEQUENCE_KAFKA_PASSWORD_FILE": "/run/secrets/kafka",
    "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "analyst",
    "PATH": "/bin",
}


def test_settings_and_variables_of_others_are_known() -> None:
    assert list(unknown_variables(KNOWN)) == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SEQUENCE_GATEWY_PORT", "SEQUENCE_GATEWAY_PORT"),
        ("SEQUENCE_KAFKA_SERVER", "SEQUENCE_KAFKA_SERVERS"),
        ("SEQUENCE_GATEWAY_PORT_FILE", "SEQUENCE_GATEWAY_PORT"),
        ("SEQUENCE_LOCAL_GATEWAY_PORT", "SEQUENCE_GATEWAY_PORT"),
        ("SEQUENCE_PORT", "SEQUENCE_CONSOLE_PORT or SEQUENCE_GATEWAY_PORT"),
        ("SEQUENCE_LOCAL", ""),
        ("SEQUENCE_X", ""),
    ],
)
def test_mistyped_name_is_found_with_the_nearest_setting(name: str, nearest: str) -> None:
    assert list(unknown_variables({**KNOWN, name: "1"})) == [(name, nearest)]


def test_warning_names_the_variable_and_not_its_value(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_unknown_variables({"SEQUENCE_KAFKA_PASWORD": "analyst"})

    assert caplog.messages == [
        "SEQUENCE_KAFKA_PASWORD is not a setting and is ignored. Did you mean SEQUENCE_KAFKA_PASSWORD?"
    ]
