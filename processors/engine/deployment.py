"""The record of the deployment on `projects.v1`, which a worker compares with its topics before it joins its group."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from processors.engine.errors import TopicsError
from processors.engine.offsets import check_topics
from schemas.deployment import different_partitions
from schemas.projects import Deployment, InvalidEntryError, decode_entry
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import VERSION, Topics

log = logging.getLogger(__name__)


async def require_partitions(settings: KafkaSettings, counts: Mapping[str, int]) -> int:
    """Return the number of partitions of the deployment.

    Raises `TopicsError` if that of a topic in *counts*, partitions by name, differs. Without a record it is the number
    that the topics have.
    """
    deployment = await read_deployment(settings)
    if (message := different_partitions(deployment, counts)) is not None:
        raise TopicsError(message)
    if deployment is not None:
        return deployment.partitions
    log.warning(
        "%s has no record of the deployment, so a changed number of partitions is not noticed. "
        "Run `sequence topics apply`",
        Topics(settings.topic_prefix).projects,
    )
    return next(iter(counts.values()))


async def read_deployment(settings: KafkaSettings) -> Deployment | None:
    """Return the record of the deployment, None if there is none; `TopicsError` without the topic."""
    topic = Topics(settings.topic_prefix).projects
    consumer = AIOKafkaConsumer(**kafka_arguments(settings), enable_auto_commit=False)
    try:
        await consumer.start()
        check_topics([topic], dict.fromkeys(await consumer.topics(), 1))
        return await _read(consumer, TopicPartition(topic, 0))
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, partition: TopicPartition) -> Deployment | None:
    found: Deployment | None = None
    consumer.assign([partition])
    await consumer.seek_to_beginning()
    end = (await consumer.end_offsets([partition]))[partition]
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                found = _deployment(record.key, record.value) or found
    return found


def _deployment(key: bytes | None, value: bytes | None) -> Deployment | None:
    try:
        decoded = decode_entry(key, value)
    except InvalidEntryError:
        return None  # The gateway logs it.
    return decoded.entry if isinstance(decoded.entry, Deployment) and decoded.subject == VERSION else None


def warn_of_added_partitions(assigned: Iterable[TP], partitions: int) -> None:
    """Log that partitions were added to a running deployment, if one of them is *assigned* to this worker.

    Nothing is written to them: gateways and workers use the number of partitions with which they started.
    """
    if added := sorted(tp for tp in assigned if tp.partition >= partitions):
        log.error(
            "partitions were added: %s and others, but the deployment was created with %d. This worker continues with "
            "those, and its next start is refused with exit code 78",
            f"{added[0].topic}[{added[0].partition}]",
            partitions,
        )
