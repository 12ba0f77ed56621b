"""`sequence topics apply`: creates the topics that `schemas.topics` declares and checks those that exist.

Idempotent, and safe to run from several processes at once. `deploy.topic_rules` decides what is good enough: on a
managed cluster some settings cannot be chosen, read or changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from aiokafka.errors import KafkaConnectionError, KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_fixed

from deploy import deployment, topic_rules
from deploy.errors import TopicsError
from deploy.topic_admin import Partitions, Refusal, TopicAdmin, connected
from deploy.topic_rules import Config
from schemas.settings import KafkaSettings, TopicSettings, certificate_fault
from schemas.topics import Topic, Topics

log = logging.getLogger(__name__)

LEADER_TIMEOUT_SECONDS = 30.0
_STORED_TIMEOUT_SECONDS = 3.0
"""A broker may answer with the old value of a setting for a moment."""


async def apply(kafka: KafkaSettings, topics: TopicSettings) -> list[str]:
    """Create missing topics and update the others; return the names of those created or updated.

    Returns when every partition has a leader. Logs a warning for a setting that is not as declared, and for topics
    whose settings Kafka hides. Raises `TopicsError`, with one line for each topic, where a topic cannot be created, or
    has another partition count or a value that the pipeline cannot work with. Records the partition count on
    `projects.v1`.
    """
    try:
        async with connected(kafka) as admin:
            changed = await apply_to(admin, declared(kafka, topics), topics.replication_factor)
        await deployment.record(kafka, topics.partitions)
    except KafkaConnectionError as error:
        raise TopicsError(
            f"Kafka at {kafka.bootstrap_servers} is unreachable{certificate_fault(kafka)}. "
            "Check SEQUENCE_KAFKA_SERVERS and that the broker is running."
        ) from error
    except (KafkaError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise TopicsError(f"Kafka at {kafka.bootstrap_servers} answered with an error: {reason}") from error
    return changed


def declared(kafka: KafkaSettings, topics: TopicSettings) -> list[Topic]:
    """Return every topic with the settings that it should have."""
    found = Topics(kafka.topic_prefix).declare(
        partitions=topics.partitions,
        items_retention_days=topics.items_retention_days,
        dedupe_window_days=topics.dedupe.window_days,
    )
    replicas = {"min.insync.replicas": str(topics.min_insync_replicas)}
    return [Topic(topic.name, topic.partitions, topic.config | replicas) for topic in found]


async def apply_to(admin: TopicAdmin, topics: Sequence[Topic], replication_factor: int) -> list[str]:
    """Do the same on a connected cluster."""
    existing = await admin.partitions()
    # Before a topic is created with a number that the others do not have.
    _check_partition_counts([topic for topic in topics if existing.get(topic.name)], existing)
    created, reduced = await _create(
        admin, [topic for topic in topics if topic.name not in existing], replication_factor
    )
    _check_partition_counts(topics, await _wait_for_leaders(admin, topics))
    updated = await _update(admin, [topic for topic in topics if topic.name not in created])
    return created + reduced + [name for name in updated if name not in reduced]


async def _create(admin: TopicAdmin, missing: Sequence[Topic], replication_factor: int) -> tuple[list[str], list[str]]:
    """Create topics; return the names of those created, and of those created with the required settings only.

    A cluster refuses all of a topic if one of its settings is not allowed. `_update` then tries the others one by one.
    """
    refused = await admin.create(missing, replication_factor)
    again = [topic for topic in missing if (answer := refused[topic.name]) is not None and answer.is_by_policy]
    refused |= await admin.create(
        [Topic(topic.name, topic.partitions, topic_rules.required(topic)) for topic in again], replication_factor
    )
    errors = [
        _creation_error(topic, replication_factor, answer)
        for topic in missing
        if (answer := refused[topic.name]) is not None and not answer.exists
    ]
    if errors:
        raise TopicsError("\n".join(errors))
    created = [topic for topic in missing if refused[topic.name] is None]
    return [topic.name for topic in created if topic not in again], [topic.name for topic in created if topic in again]


def _creation_error(topic: Topic, replication_factor: int, refusal: Refusal) -> str:
    if refusal.is_denied:
        return (
            f"Cannot create {topic.name}: Kafka denies CREATE on it to this user. Grant CREATE, or let an "
            f"administrator create it with {_count(topic.partitions)} and {topic_rules.described(topic)}."
        )
    return (
        f"Cannot create {topic.name} with {_count(topic.partitions)} and "
        f"SEQUENCE_REPLICATION_FACTOR={replication_factor}: {refusal.message}."
    )


class _NoLeaderError(Exception):
    """Partitions of these topics have no leader."""


async def _wait_for_leaders(admin: TopicAdmin, topics: Sequence[Topic]) -> Partitions:
    """Return the partitions of every topic once every declared one can be written to."""

    async def partitions_with_leaders() -> Partitions:
        existing = await admin.partitions()
        if waiting := [topic.name for topic in topics if not _has_leaders(existing.get(topic.name, []))]:
            raise _NoLeaderError(", ".join(waiting))
        return existing

    def fail(state: RetryCallState) -> None:
        names = state.outcome.exception() if state.outcome else ""
        raise TopicsError(
            f"Partitions of {names} have no leader after {LEADER_TIMEOUT_SECONDS:g} s, or Kafka hides them. "
            "Check that all brokers of the cluster are running, and that this user may DESCRIBE the topics."
        )

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_NoLeaderError),
        stop=stop_after_delay(LEADER_TIMEOUT_SECONDS),
        wait=wait_fixed(0.05),
        retry_error_callback=fail,
    )
    found: Partitions = await retrying(partitions_with_leaders)
    return found


def _has_leaders(partitions: Sequence[Mapping[str, int]]) -> bool:
    return bool(partitions) and all(partition["leader"] >= 0 for partition in partitions)


def _check_partition_counts(topics: Sequence[Topic], existing: Partitions) -> None:
    errors = [
        f"{topic.name} has {_count(count)} "
        f"but SEQUENCE_PARTITIONS={topic.partitions}. The partition count cannot be changed after creation."
        for topic in topics
        if (count := len(existing[topic.name])) != topic.partitions
    ]
    if errors:
        raise TopicsError("\n".join(errors))


async def _update(admin: TopicAdmin, present: Sequence[Topic]) -> list[str]:
    """Change the settings that differ; return the names of the topics that have changed."""
    visible, before = await _readable(admin, present)
    errors = [error for topic in visible for error in topic_rules.fixed_errors(topic, before[topic.name])]
    if errors:
        raise TopicsError("\n".join(errors))
    refusals: dict[tuple[str, str], Refusal | None] = {}
    for topic in visible:
        for name, value in topic_rules.to_change(topic, before[topic.name]).items():
            refusals[topic.name, name] = await admin.change(topic.name, name, value)
    after = await _stored(admin, visible, refusals) if refusals else before
    _report(visible, after, refusals)
    return [topic.name for topic in visible if after[topic.name] != before[topic.name]]


async def _readable(admin: TopicAdmin, topics: Sequence[Topic]) -> tuple[list[Topic], dict[str, Config]]:
    """Return the topics whose settings the user may read, and these settings; log the others."""
    answers = await admin.settings(topics)
    found = {name: answer for name, answer in answers.items() if not isinstance(answer, Refusal)}
    hidden = [topic for topic in topics if topic.name not in found]
    errors = []
    for topic in hidden:
        answer = answers[topic.name]
        if isinstance(answer, Refusal) and not answer.is_denied:
            errors.append(f"Cannot read the settings of {topic.name}: {answer.message}.")
    if errors:
        raise TopicsError("\n".join(errors))
    if hidden:
        log.warning(
            "the settings of %d topics were not checked: Kafka denies DESCRIBE_CONFIGS on them to this user. "
            "The pipeline needs %s",
            len(hidden),
            "; ".join(f"{topic.name}: {topic_rules.described(topic)}" for topic in hidden),
        )
    return [topic for topic in topics if topic.name in found], found


async def _stored(
    admin: TopicAdmin, topics: Sequence[Topic], refusals: Mapping[tuple[str, str], Refusal | None]
) -> dict[str, Config]:
    """Return the settings after the changes: when they have the accepted values, or at the end of a short wait."""
    wanted = {topic.name: topic.config for topic in topics}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _STORED_TIMEOUT_SECONDS
    while True:
        found = {
            name: answer for name, answer in (await admin.settings(topics)).items() if not isinstance(answer, Refusal)
        }
        pending = [key for key, refusal in refusals.items() if refusal is None and not _has(found, wanted, *key)]
        if not pending or loop.time() > deadline:
            return found
        await asyncio.sleep(0.05)


def _has(found: Mapping[str, Config], wanted: Mapping[str, Config], topic: str, setting: str) -> bool:
    return found.get(topic, {}).get(setting) == wanted[topic][setting]


def _report(
    topics: Sequence[Topic], after: Mapping[str, Config], refusals: Mapping[tuple[str, str], Refusal | None]
) -> None:
    """Log settings that are not as declared; raise `TopicsError` for those that the pipeline cannot work with."""
    errors = []
    for topic in topics:
        current = after[topic.name]
        for name, value in topic_rules.to_change(topic, current).items():
            rule, enough = topic_rules.RULES[name], topic_rules.is_enough(name, value, current.get(name))
            refusal = refusals.get((topic.name, name))
            reason = _reason(refusal)
            if rule.is_required and not enough:
                errors.append(
                    f"{topic.name} has {name}={current.get(name)} but the pipeline needs {value}: {rule.meaning}. "
                    f"{reason}. Ask an administrator of the cluster to change it."
                )
            else:
                meaning = "records are kept longer" if enough else rule.meaning
                log.warning(
                    "%s keeps %s=%s instead of %s: %s. %s", topic.name, name, current.get(name), value, meaning, reason
                )
    if errors:
        raise TopicsError("\n".join(errors))


def _reason(refusal: Refusal | None) -> str:
    if refusal is None:
        return "Kafka accepted the change and did not store it"
    if refusal.is_denied:
        return "Kafka denies ALTER_CONFIGS on the topic to this user"
    return f"Kafka refuses the change: {refusal.message}"


def _count(partitions: int) -> str:
    return f"{partitions} {'partition' if partitions == 1 else 'partitions'}"
