"""Start and end offsets of logs, read over a connection of its own.

On the consumer's connection such a request waits behind the pending fetch. The watchdog also asks because of consumers
whose fetching has died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from faust.types import TP

from processors.engine.errors import TopicsError
from schemas.settings import KafkaSettings, kafka_arguments

TIMEOUT_SECONDS = 20.0
STALE_SECONDS = 30.0
"""How long Kafka may show the end of a log as it was before, while a broker that is cut off answers."""
TIMES_SECONDS = 1.0
"""Longest time in which the times of records are read."""


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

    async def renew(self) -> None:
        """Connect again, and so forget which brokers were the leaders; KafkaConnectionError as `start` does."""
        await self.stop()
        self._client = None
        await self.start()

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

    async def committed(self, group: str, partitions: Iterable[TP]) -> dict[TP, int]:
        """Return the offset of each of *partitions* that *group* has committed; KafkaError if Kafka does not answer."""
        tps = [TopicPartition(*tp) for tp in partitions]
        if not tps:
            return {}
        admin = AIOKafkaAdminClient(**kafka_arguments(self._settings))
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(group, partitions=tps)
        finally:
            await admin.close()
        return {TP(*tp): commit.offset for tp, commit in found.items() if commit.offset >= 0}

    async def times(self, offsets: Mapping[TP, int]) -> dict[TP, int]:
        """Return the broker's time of the first record at or after each offset, in milliseconds since 1970.

        A log that has no such record within a second is left out. Raises KafkaError if Kafka does not answer.
        """
        if not offsets:
            return {}
        consumer = AIOKafkaConsumer(
            **kafka_arguments(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # A broker sends at least one batch, whatever its size.
            max_partition_fetch_bytes=1024,
        )
        times: dict[TP, int] = {}
        try:
            await consumer.start()
            consumer.assign([TopicPartition(*tp) for tp in offsets])
            for tp, offset in offsets.items():
                consumer.seek(TopicPartition(*tp), offset)
            deadline = monotonic() + TIMES_SECONDS
            while len(times) < len(offsets) and (left := deadline - monotonic()) > 0:
                for tp, records in (await consumer.getmany(timeout_ms=max(1, int(left * 1000)))).items():
                    times.setdefault(TP(*tp), records[0].timestamp)
        finally:
            await consumer.stop()
        return times

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
