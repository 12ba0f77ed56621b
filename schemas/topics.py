"""Topic declarations: name, partitions, retention, compaction.

The version (`v1`) is part of the name. A topic that is recreated must get the next version, because ClickHouse rows and
local stores keep offsets of the old one.

The times of all records are the broker's (LogAppendTime). With CreateTime, Kafka refuses the records of a producer
whose clock is more than an hour ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DAY_MS = 24 * 60 * 60 * 1000
VERSION = "v1"
"""Version in the names of the topics."""


def without_prefix(topic: str) -> str:
    """Return the name of *topic* without its prefix, which may have dots: `items.v1`."""
    return ".".join(topic.rsplit(".", 2)[-2:])


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
        """Accepted items, keyed by project and messageId; the dedupe window is counted in the times of its records."""
        return f"{self.prefix}.items.v1"

    @property
    def events(self) -> str:
        """Unique items, with the same key and partition as on `items`."""
        return f"{self.prefix}.events.v1"

    @property
    def duplicates(self) -> str:
        """Items whose messageId is not new, with the same key and partition as on `items`; at least once."""
        return f"{self.prefix}.duplicates.v1"

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

    @property
    def of_tables(self) -> tuple[str, str, str, str]:
        """The topics that the sink writes to ClickHouse."""
        return self.events, self.persons, self.duplicates, self.rejected

    @property
    def every(self) -> tuple[str, ...]:
        """All topics."""
        return self.items, self.identifies, self.projects, *self.of_tables

    def declare(self, *, partitions: int, items_retention_days: int, dedupe_window_days: float) -> list[Topic]:
        """Return every topic with its settings.

        No size limits a topic: Kafka would delete records that nobody has read.
        `events` is retained two days longer than the dedupe window: it is the changelog of the dedupe table. The sink
        may be down as long for `duplicates`.
        """
        items_ms = items_retention_days * DAY_MS
        events_ms = max(items_ms, int((dedupe_window_days + 2) * DAY_MS))
        times = {"message.timestamp.type": "LogAppendTime"}
        compacted = times | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
        # A person that is erased leaves the topic within days, however few records follow.
        within_a_day = compacted | {"segment.ms": str(DAY_MS), "max.compaction.lag.ms": str(DAY_MS)}
        deleted = times | {"cleanup.policy": "delete", "retention.bytes": "-1"}
        as_items = deleted | {"retention.ms": str(items_ms)}
        as_events = deleted | {"retention.ms": str(events_ms)}
        return [
            Topic(self.items, partitions, as_items),
            Topic(self.events, partitions, as_events),
            Topic(self.duplicates, partitions, as_events),
            Topic(self.identifies, partitions, as_items),
            Topic(self.persons, partitions, within_a_day),
            Topic(
                self.rejected,
                partitions,
                deleted | {"retention.ms": str(4 * items_ms), "max.message.bytes": str(4 * 1024 * 1024)},
            ),
            Topic(self.projects, 1, compacted),
        ]
