"""Reads the ends of `events.v1`, `duplicates.v1` and `rejected.v1`: one reader for all pages, while one is open.

It joins no consumer group and commits nothing. It reads at most `RECORDS_PER_SECOND`, whatever arrives: once it is
`MAX_BEHIND` records behind, it continues at the ends and reports what it skipped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from deploy.console import items
from deploy.console.items import Item, Verdict
from deploy.console.metrics import ConsoleMetrics
from deploy.errors import OperateError
from deploy.operate import offsets
from deploy.operate.server_faults import kafka_fault
from processors.sink.rejected import rejection_rows
from schemas.log_throttle import Outage
from schemas.records import INVALID_ITEM, duplicate_of, read_item, source_offset_of
from schemas.settings import KafkaSettings
from schemas.topics import Topics

log = logging.getLogger(__name__)

RECORDS_PER_SECOND = 2000
TICK_SECONDS = 0.1
MAX_BEHIND = 2 * RECORDS_PER_SECOND
_RATE_SECONDS = 1.0
_RETRY_SECONDS = 2.0
CHECK_SECONDS = 5.0
"""Time without records after which Kafka is asked for its ends: a consumer does not report that no broker answers."""
_NOT_READ = "Kafka does not answer. New items are shown once it does."
_FAILED = "New items cannot be read. The log of the console has the cause."
_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "client_id": "sequence-console",
        "auto_offset_reset": "latest",
        "max_partition_fetch_bytes": 256 * 1024,
        "fetch_max_wait_ms": 250,
    }
)
"""Of the consumer. It begins at the ends, and never has much in memory."""


@dataclass(slots=True)
class Arrivals:
    """Records that arrived in a second."""

    read: dict[Verdict, Counter[str]] = field(default_factory=dict)
    """By verdict, the number of each project."""
    skipped: Counter[Verdict] = field(default_factory=Counter)
    """Records whose project is not known, because they were not read."""

    def add(self, verdict: Verdict, project_id: str) -> None:
        """Count a record that was read."""
        self.read.setdefault(verdict, Counter())[project_id] += 1

    @property
    def total(self) -> int:
        """Number of records that were read."""
        return sum(projects.total() for projects in self.read.values())

    def count(self, verdict: Verdict, project_id: str | None) -> float:
        """Return how many records of the project arrived, of all if it is None.

        The share of a project among the records that were skipped is that among those that were read.
        """
        read, skipped = self.read.get(verdict, Counter[str]()), self.skipped[verdict]
        total = read.total()
        if project_id is None:
            return float(total + skipped)
        return read[project_id] * (1 + skipped / total) if total else 0.0


class Audience(Protocol):
    """Who the reader reads for."""

    def wants(self, project_id: str) -> bool:
        """Return whether a page shows items of the project; those of others are counted only."""

    def show(self, item: Item) -> None:
        """Show *item*."""

    def skip(self, count: int) -> None:
        """Tell the pages that *count* records were not read."""

    def read(self, problem: str | None) -> None:
        """Tell the pages *problem*, why records are not read; None once they are."""

    def report(self, arrivals: Arrivals, seconds: float) -> None:
        """Tell the pages what arrived in *seconds*."""


class Tail:
    """Reads for *audience* until `run` is cancelled."""

    def __init__(self, kafka: KafkaSettings, audience: Audience, metrics: ConsoleMetrics) -> None:
        self._kafka = kafka
        self._audience = audience
        self._metrics = metrics
        topics = Topics(kafka.topic_prefix)
        self._verdicts: Mapping[str, Verdict] = {
            topics.events: "accepted",
            topics.duplicates: "duplicate",
            topics.rejected: "rejected",
        }
        self._outage = Outage()
        self._arrivals = Arrivals()
        self._reported_at = 0.0

    async def run(self) -> None:
        """Read; after an error connect again and continue at the ends."""
        while True:
            try:
                tps = await self._partitions()
                async with offsets.consumer(self._kafka, **_OPTIONS) as consumer:
                    await self._follow(consumer, tps)
            except (KafkaError, OperateError, OSError) as error:
                if self._outage.failed(time.monotonic(), type(error)) is not None:
                    log.warning("live items are not read: %s", kafka_fault(self._kafka, error))
                # Readers of a project need not know addresses.
                self._audience.read(_NOT_READ)
            except Exception:
                log.exception("the reader of live items failed")
                self._audience.read(_FAILED)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _partitions(self) -> list[TopicPartition]:
        async with offsets.admin_client(self._kafka) as admin, offsets.limited(self._kafka):
            counts = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        if missing := [topic for topic in self._verdicts if topic not in counts]:
            raise OperateError(f"Topics missing: {', '.join(missing)}. Create them with `sequence topics apply`.")
        return [TopicPartition(topic, number) for topic in self._verdicts for number in range(counts[topic])]

    async def _follow(self, consumer: AIOKafkaConsumer, tps: list[TopicPartition]) -> None:
        consumer.assign(tps)
        async with offsets.limited(self._kafka):
            await consumer.seek_to_end(*tps)
        self._outage.succeeded(time.monotonic())
        self._audience.read(None)
        self._arrivals, self._reported_at = Arrivals(), time.monotonic()
        answered_at = time.monotonic()
        per_tick = int(RECORDS_PER_SECOND * TICK_SECONDS)
        async for _ in _ticks(TICK_SECONDS):
            found = await consumer.getmany(timeout_ms=int(TICK_SECONDS * 1000), max_records=per_tick)
            for tp, records in found.items():
                self._deliver(tp, records)
            if found:
                answered_at = time.monotonic()
            elif time.monotonic() - answered_at >= CHECK_SECONDS:
                async with offsets.limited(self._kafka):
                    await consumer.end_offsets(tps)
                answered_at = time.monotonic()
            await self._keep_up(consumer, tps)
            self._report()

    def _deliver(self, tp: TopicPartition, records: Iterable[Any]) -> None:
        verdict = self._verdicts[tp.topic]
        count = 0
        for record in records:
            count += 1
            project_id = (record.key or b"").partition(b"/")[0].decode(errors="replace")
            self._arrivals.add(verdict, project_id)
            if self._audience.wants(project_id) and (item := decode(verdict, record)) is not None:
                self._audience.show(item)
        self._metrics.read_records.inc(count)

    async def _keep_up(self, consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> None:
        """Continue at the ends once too many records wait."""
        behind = {}
        for tp in tps:
            if (end := consumer.highwater(tp)) is not None and (waiting := end - await consumer.position(tp)) > 0:
                behind[tp] = (end, waiting)
        if sum(waiting for _, waiting in behind.values()) <= MAX_BEHIND:
            return
        for tp, (end, waiting) in behind.items():
            consumer.seek(tp, end)
            self._arrivals.skipped[self._verdicts[tp.topic]] += waiting
        skipped = sum(waiting for _, waiting in behind.values())
        self._metrics.skipped_records.inc(skipped)
        self._audience.skip(skipped)

    def _report(self) -> None:
        now = time.monotonic()
        if (seconds := now - self._reported_at) >= _RATE_SECONDS:
            self._audience.report(self._arrivals, seconds)
            self._arrivals, self._reported_at = Arrivals(), now


def decode(verdict: Verdict, record: Any) -> Item | None:
    """Return the item of *record*; None if it is none, which the sink reports."""
    if verdict == "rejected":
        (row,) = rejection_rows([record], 0, record.partition)
        return items.of_rejection(row)  # type: ignore[arg-type]  # all rows of this function are of this type
    try:
        item = read_item(record.value or b"")
        offset = source_offset_of(record.headers) if verdict == "accepted" else duplicate_of(record.headers)[0]
    except (*INVALID_ITEM, KeyError, ValueError):
        return None
    return items.of_item(item, verdict, (record.partition, offset), record.value)


async def _ticks(seconds: float) -> AsyncIterator[None]:
    """Yield at most once in *seconds*."""
    while True:
        began = time.monotonic()
        yield
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
