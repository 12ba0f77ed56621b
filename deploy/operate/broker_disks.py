"""Free disk space of brokers, for `sequence status` and `sequence doctor`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from deploy.operate.doctor_result import Check, disk
from deploy.operate.finding import Finding
from gateway.disk import Answer, Volume, resume_bytes
from schemas.sizes import size

LOW = "Kafka's disk"
"""What was checked, of the finding about too little space."""


class BrokerDisk(msgspec.Struct, kw_only=True, rename="camel"):
    """The log directory of a broker with the least free space."""

    broker: int
    free_bytes: int
    total_bytes: int


def disks(answers: Iterable[Answer]) -> list[BrokerDisk]:
    """Return the disk of each broker that tells about it."""
    least = (min(answer.volumes, key=_free) for answer in answers if answer.volumes)
    return [BrokerDisk(broker=each.broker, free_bytes=each.free_bytes, total_bytes=each.total_bytes) for each in least]


def low(found: Iterable[BrokerDisk], min_free_bytes: int) -> Iterator[Finding]:
    """Yield a finding for each broker for whose disk gateways refuse requests."""
    for each in found:
        if each.free_bytes < min_free_bytes:
            yield Finding(
                level="error",
                check=LOW,
                what=f"Broker {each.broker} has {size(each.free_bytes)} of {size(each.total_bytes)} free, less than "
                f"{size(min_free_bytes)} (SEQUENCE_KAFKA_MIN_FREE_BYTES).",
                why="Gateways answer 503 to every request. No acknowledged item is lost, and workers continue.",
                remedy=f"Free space on the disk, or enlarge it. Gateways accept items from "
                f"{size(resume_bytes(min_free_bytes))} on.",
            )


def check(answers: Sequence[Answer], min_free_bytes: int) -> Check:
    """Return the check of the brokers' disks. `sequence status` has the finding about one below *min_free_bytes*."""
    abouts, findings = [], []
    for answer in answers:
        if not answer.volumes:
            why = answer.unknown or ("It did not answer." if answer.is_silent else "It has no records of the pipeline.")
            abouts.append(f"broker {answer.broker}: not known. {why}")
            continue
        least = min(answer.volumes, key=_free)
        about, found = disk(f"broker {least.broker}", least.directory, least.free_bytes, least.total_bytes)
        abouts.append(about)
        findings += found if least.free_bytes >= min_free_bytes else []
    return Check(name="disk", about="; ".join(abouts) or "no broker is known", findings=findings)


def _free(volume: Volume) -> int:
    return volume.free_bytes
