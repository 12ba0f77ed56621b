"""Disks of brokers in `sequence status` and `sequence doctor`: findings with remedies, and what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.operate import broker_disks
from deploy.operate.broker_disks import BrokerDisk
from deploy.operate.causes import joined
from deploy.operate.doctor_result import GIB
from deploy.operate.finding import Finding
from deploy.operate.status_result import Gateway, Server, Stage, Status, judge
from gateway.disk import Answer, FreeSpace, Volume
from gateway.errors import KafkaDiskLowError


def answer(free: float, total: float = 100 * GIB, broker: int = 1) -> Answer:
    return Answer(broker, [Volume(broker, "/kafka", int(free), int(total))])


def status(gateways: list[Gateway], **stage: Any) -> Status:
    values: dict[str, Any] = {"lag_records": 0, "lag_seconds": 0.0, "processed_per_second": 0.0, **stage}
    return Status(
        at="2026-01-01T00:10:00.000000Z",
        kafka=Server(name="Kafka", address="k:9092", is_up=True),
        clickhouse=Server(name="ClickHouse", address="http://c:8123", is_up=True),
        stages=[Stage(name="sink", group="g", state="Stable", members=1, hosts=["h"], topics=[], **values)],
        rates=None,
        gateways=gateways,
        processes=[],
        last_rejection=None,
        findings=[],
    )


def judged(found: Status) -> list[Finding]:
    findings = judge(found, max_lag_seconds=60.0, is_local=False)
    return joined([*findings, *broker_disks.low(found.disks, GIB)], found)


@pytest.mark.parametrize(
    ("free", "levels"), [(50 * GIB, []), (9 * GIB, ["warning"]), (1.5 * GIB, ["error"]), (0.5 * GIB, [])]
)
def test_doctor_reports_little_space_above_the_limit(free: float, levels: list[str]) -> None:
    """The finding about less is that of the status, which `sequence doctor` shows as well."""
    check = broker_disks.check([answer(free)], GIB)

    assert [each.level for each in check.findings] == levels
    assert check.about.startswith("broker 1: ")
    assert bool(list(broker_disks.low(broker_disks.disks([answer(free)]), GIB))) == (free < GIB)


def test_doctor_says_why_the_space_of_a_broker_is_not_known() -> None:
    check = broker_disks.check([answer(50 * GIB), Answer(2, unknown="It is old."), Answer(3, is_silent=True)], GIB)

    assert check.findings == []
    assert check.about == (
        "broker 1: 50.0 GiB of 100.0 GiB free; broker 2: not known. It is old.; broker 3: not known. It did not answer."
    )


def test_finding_tells_the_space_the_setting_and_the_remedy() -> None:
    (finding,) = broker_disks.low(broker_disks.disks([answer(GIB / 2), answer(2 * GIB, broker=2)]), GIB)

    assert finding.level == "error"
    assert finding.what == (
        "Broker 1 has 512.0 MiB of 100.0 GiB free, less than 1.0 GiB (SEQUENCE_KAFKA_MIN_FREE_BYTES)."
    )
    assert "503" in finding.why
    assert finding.remedy == "Free space on the disk, or enlarge it. Gateways accept items from 1.2 GiB on."


def test_directory_with_the_least_space_counts() -> None:
    two = Answer(1, [Volume(1, "/a", 5, 10), Volume(1, "/b", 3, 20)])

    assert broker_disks.disks([two]) == [BrokerDisk(broker=1, free_bytes=3, total_bytes=20)]


def test_full_disk_and_the_gateways_that_are_not_ready_for_it_are_one_finding() -> None:
    space = FreeSpace(GIB)
    space.update([answer(GIB / 2)], 0.0)
    refusing = Gateway(url="http://g:8080", is_ready=False, about=str(KafkaDiskLowError(space.reason)))
    draining = Gateway(url="http://h:8080", is_ready=False, about="The gateway is shutting down.")
    found = status([refusing, draining], lag_records=9, lag_seconds=90.0)
    found.disks = broker_disks.disks([answer(GIB / 2)])

    findings = judged(found)

    assert [each.check for each in findings] == ["Kafka's disk", "gateway", "sink"]
    assert "http://g:8080 is not ready" in findings[0].what
    assert findings[1].what.startswith("http://h:8080")


def test_control_without_the_disk_each_gateway_is_a_finding_of_its_own() -> None:
    refusing = Gateway(url="http://g:8080", is_ready=False, about=KafkaDiskLowError.message)

    assert [each.check for each in judged(status([refusing]))] == ["gateway"]
