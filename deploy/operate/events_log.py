"""Reads the topics that the tables are filled from by source offset: `events.v1`, `duplicates.v1`, `rejected.v1`."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from aiokafka import TopicPartition

from deploy.operate.offsets import Input, consumer
from deploy.operate.scope import Scope
from deploy.operate.source_offsets import WINDOW, SourceOffsets
from processors.sink.duplicates import duplicate_rows
from processors.sink.rejected import rejection_rows
from processors.sink.resume import WINDOW_RECORDS
from processors.sink.rows import Row, item_rows
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, REJECTED, Table
from schemas.items import Track
from schemas.records import INVALID_ITEM, InvalidRecordError, decode_item, duplicate_of, source_offset_of
from schemas.settings import KafkaSettings

POLL_MS = 500

Found = tuple[int, str]
"""Source offset and table of a record."""


class RejectedSource(NamedTuple):
    """An item that a worker rejected: its place on `items.v1`."""

    stage: str
    partition: int
    source_offset: int


_UNKNOWN = RejectedSource("", -1, -1)
"""A record that is no item of a known source offset."""


class _Rejection(msgspec.Struct, rename="camel"):
    """What a record of `rejected.v1` says of its source."""

    stage: str
    source_topic: str | None = None
    source_partition: int | None = None
    source_offset: int | None = None


_read_rejection = msgspec.json.Decoder(_Rejection).decode


@dataclass(frozen=True, slots=True)
class Source:
    """A topic, and how its records become rows."""

    topic: str
    """Without the prefix."""
    tables: tuple[Table, ...]
    find: Callable[[Any], Found]
    """Returns source offset and table of a record; raises what `UNREADABLE` names if the sink rejects it."""
    rows: Callable[[Sequence[Any], int, int], Mapping[Table, Sequence[Row]]]
    """Returns the rows of records of a log and partition."""
    rejected: Callable[[Any], RejectedSource | None] = lambda record: None  # noqa: ARG005
    """Returns what a worker rejected; None of a rejection by the gateway, and of other records."""


def _event(record: Any) -> Found:
    item, source_offset = decode_item(record.value), source_offset_of(record.headers)
    return source_offset, EVENTS.name if isinstance(item, Track) else IDENTIFIES.name


def _event_rows(records: Sequence[Any], log: int, partition: int) -> Mapping[Table, Sequence[Row]]:
    rows = item_rows(records, log, partition)
    return {EVENTS: rows.events, IDENTIFIES: rows.identifies}


def _duplicate(record: Any) -> Found:
    decode_item(record.value)
    return duplicate_of(record.headers)[0], DUPLICATES.name


def _duplicate_rows(records: Sequence[Any], log: int, partition: int) -> Mapping[Table, Sequence[Row]]:
    return {DUPLICATES: duplicate_rows(records, log, partition)[0]}


def _rejection(record: Any) -> Found:
    return int(record.offset), REJECTED.name


def _rejected_source(record: Any) -> RejectedSource | None:
    try:
        found = _read_rejection(record.value or b"")
    except INVALID_ITEM:
        return _UNKNOWN
    if found.stage == "gateway":
        return None
    partition, source_offset = found.source_partition, found.source_offset
    if found.source_topic != EVENTS.source or partition is None or source_offset is None:
        return _UNKNOWN
    return RejectedSource(found.stage, partition, source_offset)


def _rejection_rows(records: Sequence[Any], log: int, partition: int) -> Mapping[Table, Sequence[Row]]:
    return {REJECTED: rejection_rows(records, log, partition)}


SOURCES = (
    Source(EVENTS.topic, (EVENTS, IDENTIFIES), _event, _event_rows),
    Source(DUPLICATES.topic, (DUPLICATES,), _duplicate, _duplicate_rows),
    Source(REJECTED.topic, (REJECTED,), _rejection, _rejection_rows, _rejected_source),
)
TABLES = tuple(table for source in SOURCES for table in source.tables)
UNREADABLE = (InvalidRecordError, KeyError, ValueError)
"""What `Source.find` raises of a record that the sink rejects."""


@dataclass(slots=True)
class SourceLog:
    """What a partition of a topic has, by source offset."""

    source: Source
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
    seen: SourceOffsets = field(default_factory=SourceOffsets)
    """Every source offset."""
    rejected: list[RejectedSource] = field(default_factory=list)
    """What workers rejected, for each such record."""

    def of_table(self, name: str) -> SourceOffsets:
        """Return the source offsets that table *name* should have up to its position."""
        return self.found.setdefault(name, SourceOffsets())


async def batches(kafka: KafkaSettings, read: Input, start: int, end: int) -> AsyncGenerator[Sequence[Any], None]:
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


async def read_source(
    kafka: KafkaSettings, source: Source, read: Input, reached: Mapping[str, int], scope: Scope
) -> SourceLog:
    """Read what *scope* has of a partition; *reached* is the position of each table."""
    log, start = SourceLog(source, read), scope.start(read)
    least = scope.firsts.get((f"{kafka.topic_prefix}.{source.tables[0].source}", read.partition), 0)
    last, count = -1, 0
    async for records in batches(kafka, read, start, read.log_end):
        for record in records:
            try:
                source_offset, table = source.find(record)
            except UNREADABLE:
                continue
            count += 1
            if count <= WINDOW_RECORDS and start > 0:
                log.certain_from = max(log.certain_from, source_offset)
            if source_offset < least or not scope.has(record):
                continue
            log.seen.add(source_offset)
            if (found := source.rejected(record)) is not None:
                log.rejected.append(found)
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


async def first_source_offset(kafka: KafkaSettings, read: Input) -> int | None:
    """Return the source offset of the first record of *read* that is an item, None if none is."""
    (source,) = [source for source in SOURCES if read.topic.endswith(f".{source.topic}")]
    async with aclosing(batches(kafka, read, read.log_start, read.log_end)) as found:
        async for records in found:
            for record in records:
                try:
                    return source.find(record)[0]
                except UNREADABLE:
                    continue
    return None
