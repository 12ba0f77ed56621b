"""A cluster's topics in memory, with the refusals of a managed cluster: policies, permissions, values that stay."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.topic_admin import Partitions, Refusal
from deploy.topic_rules import Config
from schemas.topics import Topic

UNKNOWN_TOPIC = Refusal(3, "This server does not host this topic-partition")
EXISTS = 36
DENIED = 29
POLICY_VIOLATION = 44

DEFAULTS = {
    "cleanup.policy": "delete",
    "message.timestamp.type": "CreateTime",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "min.insync.replicas": "1",
    "max.message.bytes": "1048588",
    "min.cleanable.dirty.ratio": "0.5",
    "segment.ms": "604800000",
    "max.compaction.lag.ms": "9223372036854775807",
}


class MemoryTopicAdmin:
    """A cluster that follows every request, unless the test forbids it."""

    def __init__(self) -> None:
        self.defaults = dict(DEFAULTS)
        self.topics: dict[str, tuple[int, dict[str, str]]] = {}
        """Partitions and own settings by name."""
        self.not_allowed: set[str] = set()
        """Settings that a policy refuses."""
        self.kept: set[str] = set()
        """Settings that are accepted and not stored."""
        self.denied: set[str] = set()
        """Operations that this user may not do: CREATE, DESCRIBE_CONFIGS or ALTER_CONFIGS."""
        self.replication_factor: int | None = None
        """The only one that is allowed."""

    async def partitions(self) -> Partitions:
        """Return the partitions of every topic."""
        return {name: [{"leader": 1}] * count for name, (count, _) in self.topics.items()}

    async def create(self, topics: Sequence[Topic], replication_factor: int) -> dict[str, Refusal | None]:
        """Create *topics*; return the refusal of each, or None."""
        return {topic.name: self._create(topic, replication_factor) for topic in topics}

    async def settings(self, topics: Sequence[Topic]) -> dict[str, Config | Refusal]:
        """Return the settings of each topic, or the refusal."""
        return {topic.name: self._settings(topic.name) for topic in topics}

    async def change(self, topic: str, setting: str, value: str) -> Refusal | None:
        """Change one setting and leave the others; return the refusal, if any."""
        if topic not in self.topics:
            return UNKNOWN_TOPIC
        if "ALTER_CONFIGS" in self.denied:
            return Refusal(DENIED, "Topic authorization failed")
        if (refusal := self._policy([setting])) is None and setting not in self.kept:
            self.topics[topic][1][setting] = value
        return refusal

    def _create(self, topic: Topic, replication_factor: int) -> Refusal | None:
        if topic.name in self.topics:
            return Refusal(EXISTS, f"Topic '{topic.name}' already exists")
        if "CREATE" in self.denied:
            return Refusal(DENIED, "Authorization failed")
        if self.replication_factor not in (None, replication_factor):
            return Refusal(POLICY_VIOLATION, f"Topic replication factor must be {self.replication_factor}")
        if (refusal := self._policy(topic.config)) is None:
            own = {name: value for name, value in topic.config.items() if name not in self.kept}
            self.topics[topic.name] = (topic.partitions, own)
        return refusal

    def _settings(self, name: str) -> Config | Refusal:
        if name not in self.topics:
            return UNKNOWN_TOPIC
        if "DESCRIBE_CONFIGS" in self.denied:
            return Refusal(DENIED, "Topic authorization failed")
        return self.defaults | self.topics[name][1]

    def _policy(self, settings: Sequence[str] | Config) -> Refusal | None:
        refused = next((name for name in settings if name in self.not_allowed), None)
        return None if refused is None else Refusal(POLICY_VIOLATION, f"Config property '{refused}' is not allowed")
