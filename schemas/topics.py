"""Topic declarations: name, partitions, retention, compaction.

The version (`v1`) is part of the name. A topic that is recreated must get the next version, because ClickHouse rows and
local stores keep offsets of the old one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic to create; `config` uses the broker's setting names."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of all topics under one prefix (`SEQUENCE_TOPIC_PREFIX`)."""

    prefix: str = "sequence"

    @property
    def items(self) -> str:
        """Accepted items, keyed by project and messageId; timestamps are the broker's (LogAppendTime)."""
        return f"{self.prefix}.items.v1"

    @property
    def events(self) -> str:
        """Unique items, with the same key and partition as on `items`."""
        return f"{self.prefix}.events.v1"

    @property
    def identifies(self) -> str:
        """Unique identifies, keyed by project and user; at least once."""
        return f"{self.prefix}.identifies.v1"

    @property
    def persons(self) -> str:
        """State of each person, keyed by project and user; compacted."""
        return f"{self.prefix}.persons.v1"

    @property
    def rejected(self) -> str:
        """Rejected items and records, with reason and content (the dead-letter topic)."""
        return f"{self.prefix}.rejected.v1"

    @property
    def projects(self) -> str:
        """Projects and hashed tokens; compacted, one partition."""
        return f"{self.prefix}.projects.v1"

    def declare(self, *, partitions: int, items_retention_days: int, dedupe_window_days: float) -> list[Topic]:
        """Return every topic with its settings.

        `events` is retained two days longer than the dedupe window: it is the changelog of the dedupe table.
        """
        items_ms = items_retention_days * DAY_MS
        events_ms = max(items_ms, int((dedupe_window_days + 2) * DAY_MS))
        compacted = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
        deleted = {"cleanup.policy": "delete"}
        return [
            Topic(
                self.items,
                partitions,
                deleted | {"message.timestamp.type": "LogAppendTime", "retention.ms": str(items_ms)},
            ),
            Topic(
                self.events,
                partitions,
                # A dedupe table that is rebuilt from `events` has the times of the items.
                deleted | {"message.timestamp.type": "CreateTime", "retention.ms": str(events_ms)},
            ),
            Topic(self.identifies, partitions, deleted | {"retention.ms": str(items_ms)}),
            Topic(self.persons, partitions, compacted),
            Topic(
                self.rejected,
                partitions,
                deleted | {"retention.ms": str(4 * items_ms), "max.message.bytes": str(4 * 1024 * 1024)},
            ),
            Topic(self.projects, 1, compacted),
        ]
