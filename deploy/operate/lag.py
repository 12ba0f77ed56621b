"""How far each stage is behind its input: in records, and in seconds by the broker's time of the oldest of them.

A worker commits once a second, so that the lag of a busy stage that keeps up is up to a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from deploy.operate.kafka_reader import KafkaReader, Key, Members
from deploy.operate.offsets import Input
from schemas.topics import Topics

STAGES = ("dedupe", "persons", "sink")
_FIRST_RECORDS_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class StageLag:
    """A stage and its input."""

    name: str
    members: Members
    inputs: Mapping[Key, Input]
    oldest_ms: Mapping[Key, int]
    """Broker time of the oldest record that is not committed, of the partitions that have one and answered in time."""

    def records(self, topic: str | None = None) -> int:
        """Return the records that are not committed, of *topic* or of all."""
        return sum(each.lag for each in self.inputs.values() if topic in (None, each.topic))

    def seconds(self, now: float, topic: str | None = None) -> float | None:
        """Return the age of the oldest of them at *now*, in seconds since 1970: 0 without any, None if unknown."""
        if self.records(topic) == 0:
            return 0.0
        times = [time_ms for key, time_ms in self.oldest_ms.items() if topic in (None, key[0])]
        return max(0.0, now - min(times) / 1000) if times else None

    def age(self, key: Key, now: float) -> float | None:
        """Return what `seconds` returns, of one partition."""
        if self.inputs[key].lag <= 0:
            return 0.0
        return None if (at := self.oldest_ms.get(key)) is None else max(0.0, now - at / 1000)

    def committed(self) -> int:
        """Return a number that grows with each record that is processed."""
        return sum(max(each.log_start, each.committed or 0) for each in self.inputs.values())


def inputs_of(topics: Topics) -> dict[str, tuple[str, ...]]:
    """Return the topics that each stage reads."""
    return {"dedupe": (topics.items,), "persons": (topics.identifies,), "sink": topics.of_tables}


async def read(
    reader: KafkaReader, topics: Topics, described: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[StageLag]:
    """Return the lag of each stage; *described* has the partitions of each topic, and topics that lack are left out."""
    found = []
    for name, read_topics in inputs_of(topics).items():
        group = f"{topics.prefix}-{name}"
        keys = [(topic, number) for topic in read_topics for number in range(len(described.get(topic, ())))]
        inputs = await reader.inputs(group, keys)
        behind = {key: max(each.log_start, each.committed or 0) for key, each in inputs.items() if each.lag > 0}
        oldest = await reader.first_records(behind, monotonic() + _FIRST_RECORDS_SECONDS)
        times = {key: int(record.timestamp) for key, record in oldest.items()}
        found.append(StageLag(name, await reader.members(group), inputs, times))
    return found
