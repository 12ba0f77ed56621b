"""Reads and writes whole topics in tests, with clients of its own rather than the product's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import CommitFailedError, GroupCoordinatorNotAvailableError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from schemas.records import Record
from schemas.settings import KafkaSettings, kafka_arguments


def write(settings: KafkaSettings, topic: str, records: Iterable[Record]) -> None:
    """Write *records*, with Kafka's default partitioner, and wait for the acknowledgements."""

    async def produce() -> None:
        async with AIOKafkaProducer(**kafka_arguments(settings), enable_idempotence=True, linger_ms=10) as producer:
            sent = [
                await producer.send(topic, key=record.key, value=record.value, headers=list(record.headers))
                for record in records
            ]
            await asyncio.gather(*sent)

    asyncio.run(produce())


def read(settings: KafkaSettings, topic: str) -> list[Any]:
    """Return every record that *topic* contains now, in the order of its partitions and offsets."""

    async def consume() -> list[Any]:
        async with AIOKafkaConsumer(topic, **kafka_arguments(settings), auto_offset_reset="earliest") as consumer:
            tps = list(consumer.assignment())
            ends = await consumer.end_offsets(tps)
            records: list[Any] = []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for batch in (await consumer.getmany(*tps, timeout_ms=200)).values():
                    records.extend(batch)
            return sorted(records, key=lambda record: (record.partition, record.offset))

    return asyncio.run(consume())


def ends(settings: KafkaSettings, topic: str) -> dict[int, int]:
    """Return the end offset of each partition of *topic*."""

    async def ask() -> dict[int, int]:
        async with AIOKafkaConsumer(topic, **kafka_arguments(settings)) as reader:
            found: dict[Any, int] = await reader.end_offsets(reader.assignment())
        return {tp.partition: end for tp, end in found.items()}

    return asyncio.run(ask())


def committed(settings: KafkaSettings, group: str, topic: str) -> int:
    """Return the sum of the offsets that *group* has committed on *topic*."""

    async def ask() -> int:
        # Tests look again and again: a consumer that joins no group costs the broker several times as much.
        admin = AIOKafkaAdminClient(**kafka_arguments(settings))
        await admin.start()
        try:
            with contextlib.suppress(GroupCoordinatorNotAvailableError):  # no group has committed
                found = await admin.list_consumer_group_offsets(group)
                return sum(each.offset for tp, each in found.items() if tp.topic == topic)
            return 0
        finally:
            await admin.close()

    return asyncio.run(ask())


def reset(settings: KafkaSettings, group: str, topics: Iterable[str]) -> bool:
    """Reset *group* to the first offset of *topics*; return False while the group has members."""

    async def ask() -> bool:
        async with AIOKafkaConsumer(*topics, **kafka_arguments(settings)) as reader:
            starts = await reader.beginning_offsets(reader.assignment())
        # Otherwise its end would commit the offsets from before, once it has read them.
        async with AIOKafkaConsumer(**kafka_arguments(settings), group_id=group, enable_auto_commit=False) as consumer:
            consumer.assign(list(starts))
            try:
                await consumer.commit(starts)
            except CommitFailedError:
                return False
            return True

    return asyncio.run(ask())


def commit(settings: KafkaSettings, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Commit *offsets* by partition of *topic* for *group*, which has no members, without metadata."""

    async def send() -> None:
        tps = {TopicPartition(topic, number): offset for number, offset in offsets.items()}
        # As in `reset`.
        async with AIOKafkaConsumer(**kafka_arguments(settings), group_id=group, enable_auto_commit=False) as consumer:
            consumer.assign(list(tps))
            await consumer.commit(tps)

    asyncio.run(send())


def forget_group(settings: KafkaSettings, group: str) -> None:
    """Delete what *group*, which has no members, has committed, as Kafka does after `offsets.retention.minutes`."""

    async def forget() -> None:
        admin = AIOKafkaAdminClient(**kafka_arguments(settings))
        await admin.start()
        try:
            coordinator = await admin.find_coordinator(group)
            # The client has no public method for this request.
            answer = await admin._send_request_to_node(coordinator, DeleteGroupsRequest([group]))
        finally:
            await admin.close()
        ((_, error, *_),) = answer.results
        assert error == 0, for_code(error)

    asyncio.run(forget())


def first_by_origin(records: Iterable[Any]) -> list[Any]:
    """Return *records* of `events.v1` whose source offset exceeds all before it in the partition."""
    last: dict[int, int] = {}
    kept = []
    for record in records:
        origin = int(dict(record.headers)["origin"])
        if origin > last.get(record.partition, -1):
            last[record.partition] = origin
            kept.append(record)
    return kept


def delete_before(settings: KafkaSettings, topic: str, offset: int) -> None:
    """Delete the records of each partition of *topic* below *offset*, all for -1, as retention does."""

    async def delete() -> None:
        async with AIOKafkaConsumer(topic, **kafka_arguments(settings)) as reader:
            tps = list(reader.assignment())
        admin = AIOKafkaAdminClient(**kafka_arguments(settings))
        await admin.start()
        try:
            await admin.delete_records({tp: RecordsToDelete(offset) for tp in tps})
        finally:
            await admin.close()

    asyncio.run(delete())
