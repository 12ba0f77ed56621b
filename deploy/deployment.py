"""The record of the deployment on `projects.v1`: written by `sequence topics apply`, required by what writes rows."""

from __future__ import annotations

import time

from deploy.errors import TopicsError
from gateway.projects.admin import KafkaProjectsTopic, ProjectsTopic
from schemas.deployment import different_partitions
from schemas.projects import Deployment, encode_entry
from schemas.settings import KafkaSettings
from schemas.topics import VERSION, Topics


async def record(kafka: KafkaSettings, partitions: int) -> None:
    """Record that the topics have *partitions* partitions, unless that is recorded; `TopicsError` if it differs."""
    await record_on(KafkaProjectsTopic(kafka), kafka.topic_prefix, partitions)


async def record_on(topic: ProjectsTopic, prefix: str, partitions: int) -> None:
    """Do the same on the topic `projects.v1` of *prefix*."""
    names = Topics(prefix)
    recorded = (await topic.read()).deployments.get(VERSION)
    if (message := different_partitions(recorded, {names.items: partitions})) is not None:
        raise TopicsError(message)
    if recorded is None:
        await topic.append([encode_entry(Deployment(partitions, time.time_ns() // 1000), VERSION)])
