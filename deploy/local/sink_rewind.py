"""Loads the topics again into a ClickHouse without tables, for example after `.sequence/clickhouse` was deleted.

The consumer group of the sink has committed what it wrote into the tables that are gone, so the sink alone would write
only what is new. This does what an operator does after a loss of ClickHouse: it commits the beginning of each log.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from deploy.errors import ServiceError
from processors.clickhouse.client import ClickHouse
from schemas.settings import ClickHouseSettings, KafkaSettings, kafka_arguments
from schemas.topics import Topics

WAIT_SECONDS = 40.0
"""Longer than the session timeout of a killed worker, which is a member of the group until then."""


def has_tables(settings: ClickHouseSettings) -> bool:
    """Return whether the database was migrated before."""
    clickhouse = ClickHouse(settings, database="default")
    try:
        (found,) = clickhouse.query(
            "SELECT count() AS tables FROM system.tables WHERE database = {database:String}",
            {"database": settings.database},
        )
    finally:
        clickhouse.close()
    return int(found["tables"]) > 0


async def rewind(settings: KafkaSettings, partitions: int) -> bool:
    """Commit the beginning of each log of the sink, and return whether one of them has records.

    No sink may run. Raises `ServiceError` if Kafka does not accept the commit in time.
    """
    topics = Topics(settings.topic_prefix)
    tps = [TopicPartition(topic, number) for topic in topics.of_tables for number in range(partitions)]
    consumer = AIOKafkaConsumer(
        **kafka_arguments(settings), group_id=f"{settings.topic_prefix}-sink", enable_auto_commit=False
    )
    deadline = monotonic() + WAIT_SECONDS
    try:
        await consumer.start()
        consumer.assign(tps)
        starts, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        # Whatever is committed: a broker that has just started may not show the last commits yet.
        while not await _commit(consumer, starts, give_up=monotonic() > deadline):  # noqa: ASYNC110  # a broker is polled
            await asyncio.sleep(0.5)
    except KafkaError as error:
        raise ServiceError(
            f"ClickHouse has no tables, and Kafka did not accept that the sink loads its topics again: {error}. "
            "Stop every `sequence worker sink` of this Kafka, and start again."
        ) from error
    finally:
        await consumer.stop()
    return any(starts[tp] < ends[tp] for tp in tps)


async def _commit(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int], *, give_up: bool) -> bool:
    """Commit *offsets* and return whether the group accepts it: until its session ends, a killed sink is a member."""
    try:
        await consumer.commit(offsets)
    except CommitFailedError:
        if give_up:
            raise
        return False
    return True
