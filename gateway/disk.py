"""Whether the brokers have enough free disk space, by what they have answered. Pure; `gateway.disk_guard` asks them.

A broker stops when its disk is full. Deleting records at a size (`retention.bytes`) would prevent that and lose records
that nobody has read, so gateways refuse requests instead, while there is room for what the workers still write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.sizes import size

RESUME_SHARE, RESUME_BYTES = 0.25, 1024**3
"""Requests are accepted again when a quarter of the limit, at most 1 GiB, is free above it."""
NEAR_SHARE = 2.0
"""Free space below which brokers are asked each second, as a multiple of the limit."""
ASK_SECONDS, ASK_NEAR_SECONDS = 10.0, 1.0
"""Times between two questions."""
FORGET_SECONDS = 30.0
"""Time for which the last answer of a broker counts that no longer answers.

A broker whose disk is full ends, and others lead its partitions then.
"""


@dataclass(frozen=True, slots=True)
class Volume:
    """The file system of a log directory."""

    broker: int
    directory: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a broker tells about its disk."""

    broker: int
    volumes: Sequence[Volume] = ()
    """Of the directories that hold records of this pipeline."""
    unknown: str = ""
    """Why it does not tell, a sentence; empty if it does."""
    is_silent: bool = False
    """Whether it did not answer."""


def resume_bytes(limit_bytes: int) -> int:
    """Return the free space from which requests are accepted again."""
    return limit_bytes + min(int(limit_bytes * RESUME_SHARE), RESUME_BYTES)


def is_low(volume: Volume, limit_bytes: int, *, was_low: bool) -> bool:
    """Return whether *volume* has too little space. Once it had, it needs more than the limit."""
    return volume.free_bytes < (resume_bytes(limit_bytes) if was_low else limit_bytes)


class FreeSpace:
    """The free space of every broker as last known. What is not known refuses no request."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        """0 refuses nothing."""
        self.is_low = False
        """Whether requests are refused: all that a request reads."""
        self.volumes: Sequence[Volume] = ()
        self._answers: dict[int, tuple[Answer, float]] = {}
        self._low: set[tuple[int, str]] = set()
        self._is_complete = False

    def update(self, answers: Sequence[Answer], now: float) -> None:
        """Take the *answers* of every broker that is known at *now* (seconds of a monotonic clock)."""
        self._is_complete = bool(answers) and not any(answer.is_silent for answer in answers)
        self._answers |= {answer.broker: (answer, now) for answer in answers if not answer.is_silent}
        self._answers = {
            broker: (answer, at) for broker, (answer, at) in self._answers.items() if now - at < FORGET_SECONDS
        }
        self.volumes = [volume for answer, _ in self._answers.values() for volume in answer.volumes]
        self._low = {
            place
            for volume in self.volumes
            if is_low(volume, self.limit_bytes, was_low=(place := (volume.broker, volume.directory)) in self._low)
        }
        self.is_low = bool(self._low)

    @property
    def ask_again_seconds(self) -> float:
        """The time until the next question: short if little space is left, or if a broker did not answer."""
        near_bytes = self.limit_bytes * NEAR_SHARE
        is_near = any(volume.free_bytes < near_bytes for volume in self.volumes)
        return ASK_NEAR_SECONDS if self.is_low or is_near or not self._is_complete else ASK_SECONDS

    @property
    def least(self) -> list[Volume]:
        """The volume with the least free space of each broker, by broker."""
        by_broker: dict[int, Volume] = {}
        for volume in sorted(self.volumes, key=lambda each: (-each.broker, -each.free_bytes)):
            by_broker[volume.broker] = volume
        return list(reversed(by_broker.values()))

    @property
    def reason(self) -> str:
        """Which brokers have too little space, a sentence; empty if none has."""
        low = [each for each in self.least if any(broker == each.broker for broker, _ in self._low)]
        if not low:
            return ""
        brokers = ", ".join(f"broker {each.broker} has {size(each.free_bytes)}" for each in low)
        return (
            f"Kafka has too little free disk space: {brokers}. Items are accepted from "
            f"{size(resume_bytes(self.limit_bytes))} on (SEQUENCE_KAFKA_MIN_FREE_BYTES={self.limit_bytes})."
        )
