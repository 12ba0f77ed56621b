"""`sequence doctor` compares the clocks of the broker, the gateways and ClickHouse."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from deploy.operate import doctor_kafka
from schemas.records import encode_item
from tests.support.records import track
from tests.unit.deploy.operate.test_doctor import DAY, NOW, levels


@dataclass(frozen=True, slots=True)
class Read:
    """A record of `items.v1`, whose item was received at the time of `track`."""

    timestamp: float
    value: bytes | None = encode_item(track("m"))


RECEIVED = 1_767_225_601.0


@pytest.mark.parametrize(
    ("delay", "expected"), [(0.02, []), (-30.0, ["warning"]), (90.0, ["warning"]), (-7200.0, ["error"])]
)
def test_clocks_of_broker_and_gateway_are_compared_by_the_newest_items(delay: float, expected: list[str]) -> None:
    check = doctor_kafka.clocks([Read(1000 * (RECEIVED + delay))], 0.0, {}, NOW)

    assert levels(check.findings) == expected


@pytest.mark.parametrize(("ahead", "expected"), [(0.3, []), (-5.0, ["warning"]), (4000.0, ["error"])])
def test_clock_of_clickhouse_is_compared(ahead: float, expected: list[str]) -> None:
    assert levels(doctor_kafka.clocks([], ahead, {}, NOW).findings) == expected


def test_record_that_is_no_item_does_not_count_for_the_clock_of_a_gateway() -> None:
    old = Read(1000 * (RECEIVED - 2 * DAY), b"no item")

    assert levels(doctor_kafka.clocks([old, Read(1000 * (RECEIVED - 30.0))], 0.0, {}, NOW).findings) == ["warning"]


def test_clock_that_is_behind_the_newest_record_is_reported() -> None:
    (finding,) = doctor_kafka.clocks([Read(1000 * (NOW + 10), b"no item")], None, {}, NOW).findings

    assert finding.what == "The clock of the broker is 10 s ahead of that of this machine."


@pytest.mark.parametrize(
    ("ahead", "expected"), [(0.9, []), (30.0, ["warning"]), (-30.0, ["warning"]), (7200.0, ["error"])]
)
def test_clock_of_a_gateway_is_compared_with_this_machine(ahead: float, expected: list[str]) -> None:
    findings = doctor_kafka.clocks([], None, {"http://g:8080": ahead, "http://h:8080": 0.0}, NOW).findings

    assert levels(findings) == expected
    assert all("the gateway http://g:8080" in finding.what for finding in findings)
