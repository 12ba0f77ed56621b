"""Port check of the local stack."""

from __future__ import annotations

import pytest

from deploy.errors import PortInUseError
from deploy.local.ports import Port, check

GATEWAY = Port(8080, "gateway-1", "SEQUENCE_GATEWAY_PORT")
KAFKA = Port(9092, "kafka", "SEQUENCE_LOCAL_KAFKA_PORT")


def test_every_port_in_use_is_named_with_its_setting() -> None:
    with pytest.raises(PortInUseError) as caught:
        check([GATEWAY, KAFKA], wait_seconds=0, is_free=lambda _: False)

    first, second = str(caught.value).splitlines()
    assert first == (
        "Port 8080 for gateway-1 is in use by another process. "
        "Stop that process or set SEQUENCE_GATEWAY_PORT to another port."
    )
    assert second.startswith("Port 9092 for kafka is in use")
    assert "SEQUENCE_LOCAL_KAFKA_PORT" in second


def test_free_port_is_not_named() -> None:
    with pytest.raises(PortInUseError) as caught:
        check([GATEWAY, KAFKA], wait_seconds=0, is_free=lambda number: number == 8080)

    assert "8080" not in str(caught.value)


def test_port_released_during_the_wait_is_no_error() -> None:
    answers = iter([False, False, True])

    check([GATEWAY], wait_seconds=30, is_free=lambda _: next(answers))

    assert next(answers, None) is None


def test_port_configured_twice_is_rejected_without_a_check() -> None:
    with pytest.raises(PortInUseError, match="Change SEQUENCE_GATEWAY_PORT or SEQUENCE_LOCAL_KAFKA_PORT"):
        check([GATEWAY, Port(8080, "kafka", "SEQUENCE_LOCAL_KAFKA_PORT")], is_free=lambda _: pytest.fail("checked"))


def test_port_beyond_the_last_one_is_reported_before_any_is_tried() -> None:
    ports = [GATEWAY, Port(65536, "sink-1", "SEQUENCE_LOCAL_METRICS_PORT")]

    with pytest.raises(PortInUseError, match=r"Port 65536 for sink-1 is above 65535\. Set SEQUENCE_LOCAL_METRICS_PORT"):
        check(ports, is_free=lambda _: pytest.fail("checked"))
