"""Ports are checked before anything starts."""

from __future__ import annotations

import pytest

from deploy.errors import PortTakenError
from deploy.local.ports import Port, check

GATEWAY = Port(8080, "gateway-1", "SEQUENCE_GATEWAY_PORT")
KAFKA = Port(9092, "kafka", "SEQUENCE_LOCAL_KAFKA_PORT")


def test_every_port_that_is_taken_is_named_with_the_setting_that_moves_it() -> None:
    with pytest.raises(PortTakenError) as caught:
        check([GATEWAY, KAFKA], patience_seconds=0, is_free=lambda _: False)

    assert str(caught.value).splitlines() == [
        "Port 8080 for gateway-1 is taken by another process; SEQUENCE_GATEWAY_PORT moves it.",
        "Port 9092 for kafka is taken by another process; SEQUENCE_LOCAL_KAFKA_PORT moves it.",
    ]


def test_a_free_port_is_not_named() -> None:
    with pytest.raises(PortTakenError) as caught:
        check([GATEWAY, KAFKA], patience_seconds=0, is_free=lambda number: number == 8080)

    assert "8080" not in str(caught.value)


def test_a_port_that_is_given_up_while_waiting_is_no_error() -> None:
    answers = iter([False, False, True])

    check([GATEWAY], patience_seconds=30, is_free=lambda _: next(answers))

    assert next(answers, None) is None


def test_one_port_for_two_parts_is_refused_without_looking() -> None:
    with pytest.raises(PortTakenError, match="SEQUENCE_GATEWAY_PORT or SEQUENCE_LOCAL_KAFKA_PORT moves one of them"):
        check([GATEWAY, Port(8080, "kafka", "SEQUENCE_LOCAL_KAFKA_PORT")], is_free=lambda _: True)
