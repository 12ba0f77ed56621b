"""Makes the topics that `schemas.topics` declares, and refuses to go on with ones that are not as declared.

Safe to run at any time and by several processes at once: what exists is checked, and only what can be changed without
harm (retention, sizes, the number of in-sync replicas) is brought in line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from time import monotonic
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from deploy.errors import TopicsError
from schemas.settings import KafkaSettings, TopicSettings, kafka_arguments
from schemas.topics import Topic, Topics

_FIXED = ("message.timestamp.type", "cleanup.policy")
"""Changing these under existing records would change what the records mean."""

_SET_ON_THE_TOPIC = 1
"""Kafka's code for a setting that the topic itself carries, unlike a default."""

_LEADERS_WITHIN_SECONDS = 30.0


async def apply(kafka: KafkaSettings, topics: TopicSettings) -> list[str]:
    """Make the topics that are missing and bring the others in line; return the names of those made or changed.

    Returns when every partition has a leader. Raises `TopicsError`, with a line for each fault, where an existing topic
    has another number of partitions or settings that cannot be changed, and for what Kafka refuses.
    """
    declared = _declared(kafka, topics)
    try:
        async with _admin(kafka) as admin:
            existing = await _partitions(admin)
            missing = [topic for topic in declared if topic.name not in existing]
            made = await _create(admin, missing, topics.replication_factor)
            await _wait_for_leaders(admin, declared)
            changed = await _bring_in_line(admin, [topic for topic in declared if topic.name not in made])
    except (KafkaError, OSError) as error:
        raise TopicsError(f"Kafka at {kafka.bootstrap_servers}: {error or type(error).__name__}") from error
    return made + changed


def _declared(kafka: KafkaSettings, topics: TopicSettings) -> list[Topic]:
    declared = Topics(kafka.topic_prefix).declare(
        partitions=topics.partitions,
        items_retention_days=topics.items_retention_days,
        dedupe_window_days=topics.dedupe.window_days,
    )
    replicas = {"min.insync.replicas": str(topics.min_insync_replicas)}
    return [Topic(topic.name, topic.partitions, topic.config | replicas) for topic in declared]


@contextlib.asynccontextmanager
async def _admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka_arguments(kafka))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, list[dict[str, Any]]]:
    """Return the partitions of every topic. Asking for all of them never makes one, unlike asking by name."""
    return {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}


async def _create(admin: AIOKafkaAdminClient, missing: list[Topic], replicas: int) -> list[str]:
    if not missing:
        return []
    response = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, replicas, topic_configs=topic.config) for topic in missing]
    )
    made: list[str] = []
    faults: list[str] = []
    for name, code, *message in response.topic_errors:
        if not code:
            made.append(name)
        elif for_code(code) is not TopicAlreadyExistsError:
            faults.append(f"{name}: {message[0] if message and message[0] else for_code(code).__name__}")
    if faults:
        raise TopicsError("\n".join(faults))
    return made


async def _wait_for_leaders(admin: AIOKafkaAdminClient, declared: Iterable[Topic]) -> None:
    """Wait until every partition can be written to; raise where a topic has another number of partitions."""
    deadline = monotonic() + _LEADERS_WITHIN_SECONDS
    while True:
        existing = await _partitions(admin)
        waiting = [topic for topic in declared if not _has_leaders(existing.get(topic.name, []))]
        if not waiting:
            break
        if monotonic() > deadline:
            names = ", ".join(topic.name for topic in waiting)
            raise TopicsError(f"no leader within {_LEADERS_WITHIN_SECONDS:g} s: {names}")
        await asyncio.sleep(0.05)
    faults = [
        f"{topic.name} has {len(existing[topic.name])} partitions, {topic.partitions} are asked for: "
        "their number is fixed once a topic is made"
        for topic in declared
        if len(existing[topic.name]) != topic.partitions
    ]
    if faults:
        raise TopicsError("\n".join(faults))


def _has_leaders(partitions: list[dict[str, Any]]) -> bool:
    return bool(partitions) and all(partition["leader"] >= 0 for partition in partitions)


async def _bring_in_line(admin: AIOKafkaAdminClient, present: list[Topic]) -> list[str]:
    if not present:
        return []
    current = await _configs(admin, present)
    faults = [
        f"{topic.name} has {name}={current[topic.name][name][0]}, the pipeline needs {topic.config[name]}: "
        "use another prefix or delete the topic"
        for topic in present
        for name in _FIXED
        if name in topic.config and current[topic.name][name][0] != topic.config[name]
    ]
    if faults:
        raise TopicsError("\n".join(faults))
    changed = [topic for topic in present if _differs(topic, current[topic.name])]
    await _alter(admin, changed, current)
    return [topic.name for topic in changed]


Config = Mapping[str, tuple[str, int]]
"""A topic's settings as the broker gives them: name to value and where the value comes from."""


def _differs(topic: Topic, current: Config) -> bool:
    return any(current[name][0] != value for name, value in topic.config.items())


async def _configs(admin: AIOKafkaAdminClient, topics: list[Topic]) -> dict[str, Config]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    found: dict[str, Config] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _, name, entries in response.resources:
            if code:
                raise TopicsError(f"{name}: {message or for_code(code).__name__}")
            found[name] = {entry[0]: (entry[1], entry[3]) for entry in entries}
    return found


async def _alter(admin: AIOKafkaAdminClient, topics: list[Topic], current: Mapping[str, Config]) -> None:
    """Set the declared values; this request replaces all others, so the topic's own are sent along."""
    if not topics:
        return
    resources = []
    for topic in topics:
        kept = {name: value for name, (value, source) in current[topic.name].items() if source == _SET_ON_THE_TOPIC}
        resources.append(ConfigResource(ConfigResourceType.TOPIC, topic.name, kept | topic.config))
    for response in await admin.alter_configs(resources):
        for code, message, _, name in response.resources:
            if code:
                raise TopicsError(f"{name}: {message or for_code(code).__name__}")
