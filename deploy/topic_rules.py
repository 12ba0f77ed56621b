"""Which settings of a topic the pipeline depends on, and what a topic with other values means.

A topic is taken if it is good enough: a managed cluster may refuse a setting, keep another value or hide its settings,
and an administrator may have created the topic. Settings that records or the deduplication depend on are errors; the
others are warnings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schemas.topics import Topic

Config = Mapping[str, str]
"""A topic's settings: name to value."""

_UNLIMITED = "-1"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a setting is compared with its declared value."""

    enough: Literal["equal", "at least", "at most"]
    is_required: bool
    meaning: str
    """What a value that is not enough means."""
    is_fixed: bool = False
    """Changing it under existing records would change the meaning of the records."""


RULES: Mapping[str, Rule] = {
    # Changed on existing topics as well: it applies to new records, and no stage depends on the kind of an old one.
    "message.timestamp.type": Rule(
        "equal",
        is_required=True,
        meaning="the dedupe window would depend on the clocks of producers, and Kafka would refuse their records if "
        "they are ahead",
    ),
    "cleanup.policy": Rule(
        "equal", is_required=True, meaning="records that the pipeline needs would be deleted", is_fixed=True
    ),
    "retention.ms": Rule(
        "at least", is_required=True, meaning="records could be deleted before they are processed or deduplicated"
    ),
    "retention.bytes": Rule(
        "at least",
        is_required=False,
        meaning="Kafka deletes records at this size, although they may not be processed or deduplicated",
    ),
    "min.insync.replicas": Rule(
        "at least", is_required=True, meaning="an acknowledged record would be on fewer replicas than configured"
    ),
    "max.message.bytes": Rule(
        "at least",
        is_required=False,
        meaning="a larger rejected item cannot be stored, and its request is answered 503",
    ),
    "min.cleanable.dirty.ratio": Rule(
        "at most", is_required=False, meaning="compaction runs less often, and the topic takes more disk"
    ),
    "segment.ms": Rule("at most", is_required=False, meaning="an erased person stays on the topic for longer"),
    "max.compaction.lag.ms": Rule(
        "at most", is_required=False, meaning="an erased person stays on the topic for longer"
    ),
}
"""Of every setting that `schemas.topics` declares."""

KAFKA_DEFAULTS = {"cleanup.policy": "delete", "min.insync.replicas": "1"}
"""Declared values that a topic has without them."""


def required(topic: Topic) -> dict[str, str]:
    """Return the declared settings that the pipeline depends on, less those that are Kafka's defaults."""
    return {
        name: value
        for name, value in topic.config.items()
        if RULES[name].is_required and KAFKA_DEFAULTS.get(name) != value
    }


def to_change(topic: Topic, current: Config) -> dict[str, str]:
    """Return the settings to change: those that are not enough, and a retention that is longer than declared."""
    return {
        name: value
        for name, value in topic.config.items()
        if not RULES[name].is_fixed
        and (not is_enough(name, value, current.get(name)) or (name == "retention.ms" and current.get(name) != value))
    }


def fixed_errors(topic: Topic, current: Config) -> list[str]:
    """Return a message for each setting that differs and cannot be changed."""
    return [
        f"{topic.name} has {name}={current.get(name)} but the pipeline needs {value}: {RULES[name].meaning}. "
        "Delete the topic while it is empty, or set a new SEQUENCE_TOPIC_PREFIX and a new SEQUENCE_CLICKHOUSE_DATABASE."
        for name, value in topic.config.items()
        if RULES[name].is_fixed and not is_enough(name, value, current.get(name))
    ]


def is_enough(name: str, declared: str, current: str | None) -> bool:
    """Return whether the pipeline works with the value *current* of a setting that is declared as *declared*."""
    if current is None:
        return False
    rule = RULES[name]
    if rule.enough == "equal":
        return {part.strip() for part in current.split(",")} == {declared}
    if name.startswith("retention.") and _UNLIMITED in (current, declared):
        return current == _UNLIMITED
    have, wanted = float(current), float(declared)
    return have >= wanted if rule.enough == "at least" else have <= wanted


def described(topic: Topic) -> str:
    """Return what an administrator has to provide, for a message."""
    settings = (f"{name}{_sign(name)}{value}" for name, value in topic.config.items() if RULES[name].is_required)
    return ", ".join(settings)


def _sign(name: str) -> str:
    return "=" if RULES[name].enough == "equal" else ">="
