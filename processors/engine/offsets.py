"""Start and end offsets of logs, read over a connection of its own.

On the consumer's connection such a request waits behind the pending fetch. The watchdog also asks because of consumers
whose fetching has died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from faust.types import TP

from processors.engine.errors import TopicsError
from schemas.settings import KafkaSettings, kafka_arguments

TIMEOUT_SECONDS = 20.0


class LogOffsets(NamedTuple):
    """Bounds of a log."""

    log_start: int
    """First offset that retention has left."""
    log_end: int
    """Offset of the next record."""


class OffsetReader:
    """Reads start and end offsets of logs."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect, unless connected; KafkaConnectionError if Kafka does not answer."""
        if self._client is not None:
            return
        client = AIOKafkaConsumer(**kafka_arguments(self._settings))
        try:
            await client.start()
        except BaseException:
            await client.stop()
            raise
        self._client = client

    async def stop(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.stop()

    async def read(self, partitions: Iterable[TP]) -> dict[TP, LogOffsets]:
        """Return the offsets of each log; KafkaError or TimeoutError if Kafka does not answer."""
        tps = list(partitions)
        if not tps:
            return {}
        if self._client is None:
            raise RuntimeError("the offset reader is not started")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            starts = await self._client.beginning_offsets(tps)
            ends = await self._client.end_offsets(tps)
        return {tp: LogOffsets(starts[tp], ends[tp]) for tp in tps}

    async def require_topics(self, topics: Iterable[str]) -> dict[str, int]:
        """Return the partitions of each of *topics*; `TopicsError` unless all exist and have the same number."""
        names = set(topics)
        admin = AIOKafkaAdminClient(**kafka_arguments(self._settings))
        try:
            await admin.start()
            # A request for all topics creates none, unlike one for a topic by its name.
            counts = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        finally:
            await admin.close()
        check_topics(names, counts)
        return {name: counts[name] for name in names}


async def read_cluster_id(settings: KafkaSettings) -> str:
    """Return the id of the Kafka cluster, empty if it reports none; KafkaError or OSError if Kafka does not answer."""
    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    finally:
        await admin.close()
    return str(cluster.get("cluster_id") or "")


def check_topics(topics: Iterable[str], counts: Mapping[str, int]) -> None:
    """Raise `TopicsError` unless *counts*, partitions by topic, has all *topics* with one number of partitions."""
    names = sorted(set(topics))
    missing = [name for name in names if name not in counts]
    if missing:
        raise TopicsError(
            f"Topics missing: {', '.join(missing)}. Create them with `sequence topics apply`, or let this user "
            "DESCRIBE them if they exist."
        )
    if len({counts[name] for name in names}) > 1:
        listed = ", ".join(f"{name} has {counts[name]}" for name in names)
        raise TopicsError(
            f"Topics must have the same number of partitions: {listed}. A partition count cannot be changed after "
            f"creation: recreate the topics that differ while they are empty, or set a new SEQUENCE_TOPIC_PREFIX "
            f"and a new SEQUENCE_CLICKHOUSE_DATABASE."
        )
