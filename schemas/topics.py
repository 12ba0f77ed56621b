"""Every topic, declared once: name, partitions, retention, compaction.

The epoch (`v1`) is part of the name. A topic that has to be made anew gets the next epoch, because offsets are
positions that ClickHouse rows and local stores remember.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is created: `config` holds the broker's own names of settings."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of all topics under one prefix."""

    prefix: str = "sequence"

    @property
    def items(self) -> str:
        """Every accepted item, keyed by project and messageId, on the broker's clock."""
        return f"{self.prefix}.items.v1"

    @property
    def events(self) -> str:
        """Each messageId once; the same key and the same partition as `items`."""
        return f"{self.prefix}.events.v1"

    @property
    def identifies(self) -> str:
        """Identify events again, keyed by project and user. Repeats are possible and harmless."""
        return f"{self.prefix}.identifies.v1"

    @property
    def persons(self) -> str:
        """The state of each person, compacted, keyed by project and user."""
        return f"{self.prefix}.persons.v1"

    @property
    def rejected(self) -> str:
        """What could not be taken, with its reason and content."""
        return f"{self.prefix}.rejected.v1"

    @property
    def projects(self) -> str:
        """Projects and hashed tokens, compacted, one partition."""
        return f"{self.prefix}.projects.v1"

    def declare(self, *, partitions: int, items_retention_days: int, dedupe_window_days: float) -> list[Topic]:
        """Return every topic with its settings.

        `events` is kept for two days more than the dedupe window, because its records are the marks.
        """
        items_ms = items_retention_days * DAY_MS
        events_ms = max(items_ms, int((dedupe_window_days + 2) * DAY_MS))
        compacted = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
        return [
            Topic(
                self.items,
                partitions,
                {"message.timestamp.type": "LogAppendTime", "retention.ms": str(items_ms)},
            ),
            Topic(self.events, partitions, {"retention.ms": str(events_ms)}),
            Topic(self.identifies, partitions, {"retention.ms": str(items_ms)}),
            Topic(self.persons, partitions, compacted),
            Topic(
                self.rejected,
                partitions,
                {"retention.ms": str(4 * items_ms), "max.message.bytes": str(4 * 1024 * 1024)},
            ),
            Topic(self.projects, 1, compacted),
        ]
