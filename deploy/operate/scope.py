"""Which items an audit counts: those of a project, and those that the broker appended since a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from deploy.operate import kafka_reader
from deploy.operate.offsets import Input
from schemas.settings import KafkaSettings
from schemas.topics import Topics

_MARGIN = timedelta(hours=1)
"""Records of later topics are read from so much earlier: brokers' clocks may differ."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which records count. Without a project and a time, all do."""

    project_id: str = ""
    firsts: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """By topic and partition, the first offset that counts: on `items.v1`, which are source offsets, and on
    `rejected.v1`."""
    starts: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """By topic and partition, the offset from which the topic has to be read."""

    def has(self, record: Any) -> bool:
        """Return whether *record* is of the project."""
        return not self.project_id or (record.key or b"").startswith(f"{self.project_id}/".encode())

    def start(self, read: Input) -> int:
        """Return the offset from which *read* has to be read."""
        return max(read.log_start, self.starts.get((read.topic, read.partition), 0))


async def read_scope(kafka: KafkaSettings, project_id: str, since: datetime | None) -> Scope:
    """Return the scope of the items of *project_id*, all if empty, that were appended *since*."""
    if since is None:
        return Scope(project_id)
    topics = Topics(kafka.topic_prefix)
    async with kafka_reader.connected(kafka) as reader:
        described = await reader.topics()
        keys = {
            name: [(name, number) for number in range(len(described.get(name, ())))]
            for name in (topics.items, topics.events, topics.duplicates, topics.rejected)
        }
        counted = [*keys[topics.items], *keys[topics.rejected]]
        exact = dict.fromkeys(counted, _milliseconds(since))
        early = dict.fromkeys([*keys[topics.events], *keys[topics.duplicates]], _milliseconds(since - _MARGIN))
        found, bounds = await reader.offsets_at(exact | early), await reader.bounds([*exact, *early])
    offsets = {key: bounds[key][1] if at is None else at for key, at in found.items()}
    return Scope(project_id, {key: offsets[key] for key in counted}, offsets)


def _milliseconds(time: datetime) -> int:
    return max(0, int(time.timestamp() * 1000))
