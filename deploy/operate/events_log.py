"""Reads `events.v1`: the records from which ClickHouse's tables `events` and `identifies` are filled."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from deploy.operate.offsets import Input, consumer
from deploy.operate.source_offsets import WINDOW, SourceOffsets
from processors.sink.resume import WINDOW_RECORDS
from schemas.clickhouse import EVENTS, IDENTIFIES
from schemas.items import Track
from schemas.records import InvalidRecordError, decode_item, source_offset_of
from schemas.settings import KafkaSettings

POLL_MS = 500


@dataclass(slots=True)
class EventsLog:
    """What a partition of `events.v1` has, by source offset."""

    read: Input
    first: int | None = None
    """Source offset of the first record; None without records."""
    certain_from: int = -1
    """Source offset from which no record can have expired while a repeat of it is left."""
    waiting: Counter[str] = field(default_factory=Counter)
    """Number of records above the position of their table, by table."""
    found: dict[str, SourceOffsets] = field(default_factory=dict)
    """Source offsets up to the position of their table, by table."""
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    """First and last offset of the records of each window of source offsets."""

    def of_table(self, name: str) -> SourceOffsets:
        """Return the source offsets that table *name* should have up to its position."""
        return self.found.setdefault(name, SourceOffsets())


async def batches(kafka: KafkaSettings, read: Input, start: int, end: int) -> AsyncIterator[Sequence[Any]]:
    """Yield the records of *read* from offset *start* to before *end*, in order."""
    tp = TopicPartition(read.topic, read.partition)
    if start >= end:
        return
    async with consumer(kafka) as client:
        client.assign([tp])
        client.seek(tp, start)
        while await client.position(tp) < end:
            for records in (await client.getmany(tp, timeout_ms=POLL_MS)).values():
                yield [record for record in records if record.offset < end]


async def read_events(kafka: KafkaSettings, read: Input, reached: Mapping[str, int]) -> EventsLog:
    """Read a whole partition; *reached* is the position of each table."""
    log = EventsLog(read)
    last, count = -1, 0
    async for records in batches(kafka, read, read.log_start, read.log_end):
        for record in records:
            item = _item(record)
            if item is None:
                continue
            source_offset, table = item
            count += 1
            if count <= WINDOW_RECORDS and read.log_start > 0:
                log.certain_from = max(log.certain_from, source_offset)
            if source_offset <= last:
                continue
            last = source_offset
            log.first = source_offset if log.first is None else log.first
            if source_offset > reached.get(table, -1):
                log.waiting[table] += 1
                continue
            log.of_table(table).add(source_offset)
            window = source_offset // WINDOW
            log.places[window] = (log.places.get(window, (record.offset, 0))[0], record.offset)
    return log


def _item(record: Any) -> tuple[int, str] | None:
    """Return source offset and table of a record, None if it is no item: the sink rejects it."""
    try:
        item, source_offset = decode_item(record.value), source_offset_of(record.headers)
    except (InvalidRecordError, KeyError, ValueError):
        return None
    return source_offset, EVENTS.name if isinstance(item, Track) else IDENTIFIES.name


async def first_source_offset(kafka: KafkaSettings, read: Input) -> int | None:
    """Return the source offset of the first record of *read* that is an item, None if none is."""
    async for records in batches(kafka, read, read.log_start, read.log_end):
        for record in records:
            if (item := _item(record)) is not None:
                return item[0]
    return None
