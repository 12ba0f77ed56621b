"""`sequence topics apply`: creates the topics that `schemas.topics` declares and checks those that exist.

Idempotent, and safe to run from several processes at once. Retention, sizes and in-sync replicas of an existing topic
are updated. A different partition count, timestamp type or cleanup policy is an error: records depend on them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_fixed

from deploy.errors import TopicsError
from schemas.settings import KafkaSettings, TopicSettings, kafka_arguments
from schemas.topics import Topic, Topics

LEADER_TIMEOUT_SECONDS = 30.0
REQUEST_TIMEOUT_MS = 30_000

_IMMUTABLE = ("message.timestamp.type", "cleanup.policy")
"""Changing these under existing records would change the meaning of the records."""

_DYNAMIC_TOPIC_CONFIG = 1
"""Kafka's `ConfigSource` of a value that is set on the topic itself, unlike a default."""


async def apply(kafka: KafkaSettings, topics: TopicSettings) -> list[str]:
    """Create missing topics and update the others; return the names of those created or updated.

    Returns when every partition has a leader. Raises `TopicsError`, with one line for each topic, where an existing
    topic has another partition count or an immutable setting that differs, and where Kafka rejects a request.
    """
    declared = _declared(kafka, topics)
    try:
        async with _admin(kafka) as admin:
            existing = await _partitions(admin)
            missing = [topic for topic in declared if topic.name not in existing]
            created = await _create(admin, missing, topics.replication_factor)
            _check_partition_counts(declared, await _wait_for_leaders(admin, declared))
            updated = await _update(admin, [topic for topic in declared if topic.name not in created])
    except KafkaConnectionError as error:
        raise TopicsError(
            f"Kafka at {kafka.bootstrap_servers} is unreachable. "
            "Check SEQUENCE_KAFKA_SERVERS and that the broker is running."
        ) from error
    except (KafkaError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise TopicsError(f"Kafka at {kafka.bootstrap_servers} answered with an error: {reason}") from error
    return created + updated


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
    admin = AIOKafkaAdminClient(**kafka_arguments(kafka), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, list[dict[str, Any]]]:
    """Return the partitions of every topic. A request by name could create the topic; one for all topics does not."""
    return {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}


async def _create(admin: AIOKafkaAdminClient, missing: list[Topic], replication_factor: int) -> list[str]:
    if not missing:
        return []
    response = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, replication_factor, topic_configs=topic.config) for topic in missing]
    )
    created: list[str] = []
    errors: list[str] = []
    for name, code, *message in response.topic_errors:
        if not code:
            created.append(name)
        elif for_code(code) is not TopicAlreadyExistsError:
            errors.append(f"Cannot create {name}: {message[0] if message and message[0] else for_code(code).__name__}")
    if errors:
        raise TopicsError("\n".join(errors))
    return created


class _NoLeaderError(Exception):
    """Partitions of these topics have no leader."""


async def _wait_for_leaders(admin: AIOKafkaAdminClient, declared: list[Topic]) -> dict[str, list[dict[str, Any]]]:
    """Return the partitions of every topic once every declared one can be written to."""

    async def partitions_with_leaders() -> dict[str, list[dict[str, Any]]]:
        existing = await _partitions(admin)
        if waiting := [topic.name for topic in declared if not _has_leaders(existing.get(topic.name, []))]:
            raise _NoLeaderError(", ".join(waiting))
        return existing

    def fail(state: RetryCallState) -> None:
        names = state.outcome.exception() if state.outcome else ""
        raise TopicsError(
            f"Partitions of {names} have no leader after {LEADER_TIMEOUT_SECONDS:g} s. "
            "Check that all brokers of the cluster are running."
        )

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_NoLeaderError),
        stop=stop_after_delay(LEADER_TIMEOUT_SECONDS),
        wait=wait_fixed(0.05),
        retry_error_callback=fail,
    )
    return await retrying(partitions_with_leaders)


def _has_leaders(partitions: list[dict[str, Any]]) -> bool:
    return bool(partitions) and all(partition["leader"] >= 0 for partition in partitions)


def _check_partition_counts(declared: list[Topic], existing: Mapping[str, list[dict[str, Any]]]) -> None:
    errors = [
        f"{topic.name} has {count} {'partition' if count == 1 else 'partitions'} "
        f"but SEQUENCE_PARTITIONS={topic.partitions}. The partition count cannot be changed after creation."
        for topic in declared
        if (count := len(existing[topic.name])) != topic.partitions
    ]
    if errors:
        raise TopicsError("\n".join(errors))


async def _update(admin: AIOKafkaAdminClient, present: list[Topic]) -> list[str]:
    if not present:
        return []
    current = await _configs(admin, present)
    errors = [
        f"{topic.name} has {name}={current[topic.name][name][0]} but the pipeline needs {topic.config[name]}. "
        "Delete the topic while it is empty, or set a new SEQUENCE_TOPIC_PREFIX and a new SEQUENCE_CLICKHOUSE_DATABASE."
        for topic in present
        for name in _IMMUTABLE
        if name in topic.config and current[topic.name][name][0] != topic.config[name]
    ]
    if errors:
        raise TopicsError("\n".join(errors))
    changed = [topic for topic in present if _differs(topic, current[topic.name])]
    await _alter(admin, changed, current)
    return [topic.name for topic in changed]


Config = Mapping[str, tuple[str, int]]
"""A topic's settings as the broker returns them: name to value and `ConfigSource`."""


def _differs(topic: Topic, current: Config) -> bool:
    return any(current[name][0] != value for name, value in topic.config.items())


async def _configs(admin: AIOKafkaAdminClient, topics: list[Topic]) -> dict[str, Config]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    found: dict[str, Config] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _, name, entries in response.resources:
            if code:
                raise TopicsError(f"Cannot read the settings of {name}: {message or for_code(code).__name__}")
            found[name] = {entry[0]: (entry[1], entry[3]) for entry in entries}
    return found


async def _alter(admin: AIOKafkaAdminClient, topics: list[Topic], current: Mapping[str, Config]) -> None:
    """Set the declared values. AlterConfigs replaces all of a topic's settings, so the other own ones are repeated."""
    if not topics:
        return
    resources = []
    for topic in topics:
        own = {name: value for name, (value, source) in current[topic.name].items() if source == _DYNAMIC_TOPIC_CONFIG}
        resources.append(ConfigResource(ConfigResourceType.TOPIC, topic.name, own | topic.config))
    for response in await admin.alter_configs(resources):
        for code, message, _, name in response.resources:
            if code:
                raise TopicsError(f"Cannot change the settings of {name}: {message or for_code(code).__name__}")
