"""An audit of the newest items that is repeated: what it has read of the topics it keeps, and reads only what is new.

The window ends a safe time ago, and before the first item that dedupe has not processed; in each table it ends at the
position of the sink. What is on its way is not missing. Each round costs a bounded time: see the constants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

from deploy.errors import OperateError
from deploy.operate import kafka_reader, logs, positions
from deploy.operate.audit_balance import Balance, Known, Span, compare
from deploy.operate.audit_tail import Rejections, Tail
from deploy.operate.events_log import SOURCES, TABLES
from deploy.operate.kafka_reader import KafkaReader, Key, Range
from deploy.operate.servers import Servers
from schemas.settings import KafkaSettings
from schemas.topics import Topics

WINDOW_SECONDS = 3600.0
"""Age of the oldest item that is compared in each round."""
SAFE_SECONDS = 30.0
"""Age of the newest: within it the sink finds out which row of a block ClickHouse does not take."""
MOST_RECORDS = 300_000
"""Records of a topic that a round reads, about three seconds of CPU time. Beyond, only the newest are compared."""
MOST_ITEMS = 5_000_000
"""Items of a window."""
READ_SECONDS = 20.0
"""Time to read what is new. A round that needs more fails, and the next one continues."""
_MARGIN_SECONDS = 60.0
"""An item's event is appended later than the item, but perhaps by a broker with another clock."""


class _StoppedError(Exception):
    """`WindowAudit.stop` was called."""


class _Asked(NamedTuple):
    """What a round asks Kafka for: the topics, and the number of partitions."""

    topics: Topics
    partitions: int

    def keys(self, *names: str) -> list[Key]:
        return [(name, number) for name in names for number in range(self.partitions)]


@dataclass(slots=True)
class WindowAudit:
    """Compares the items of a sliding window; what it has read stays in memory, one bit for each source offset."""

    servers: Servers
    window_seconds: float = WINDOW_SECONDS
    safe_seconds: float = SAFE_SECONDS
    _log: int | None = None
    _tails: dict[Key, Tail] = field(default_factory=dict)
    _rejections: Rejections = field(default_factory=Rejections)
    _rejected_since: float = 0.0
    """Since when every rejection by a worker was read, in seconds since 1970."""
    _is_stopping: bool = False

    def check(self, now: float) -> Balance:
        """Return the balance at *now*, in seconds since 1970. Blocks; not for two threads at a time.

        Raises `OperateError` and `ClickHouseError` if a server does not answer; the next round continues.
        """
        log = logs.current(self.servers)
        if log != self._log:
            self._forget()
            self._log = log
        known = self.servers.ask_kafka(lambda kafka: self._read(kafka, log, now))
        with self.servers.tables() as clickhouse:
            balance = compare(clickhouse, known)
        self._forget_old(known.spans)
        return balance

    def stop(self) -> None:
        """Let a round that another thread runs end soon, with an error."""
        self._is_stopping = True

    def _forget(self) -> None:
        self._tails, self._rejections, self._rejected_since = {}, Rejections(), 0.0

    def _forget_old(self, spans: Mapping[Key, Span]) -> None:
        topics = Topics(self.servers.kafka.topic_prefix)
        firsts = {partition: span.first for (topic, partition), span in spans.items() if topic == topics.items}
        for (topic, partition), tail in self._tails.items():
            tail.forget_below(spans[topic, partition].first if topic == topics.rejected else firsts[partition])
        self._rejections.forget_below(firsts)

    async def _read(self, kafka: KafkaSettings, log: int, now: float) -> Known:
        """Read what is new, in the order in which items move: what a later step has, the earlier ones had before."""
        topics = Topics(kafka.topic_prefix)
        async with kafka_reader.connected(kafka) as reader:
            described = await reader.topics()
            asked = _Asked(topics, len(described.get(topics.items, ())))
            processed = await reader.inputs(f"{topics.prefix}-dedupe", asked.keys(topics.items))
            shown, kept = await asyncio.to_thread(self._positions, log)
            begun = await self._read_new(reader, asked, log, now)
            spans = await self._spans(reader, asked, now)
        for key, read in processed.items():
            done = read.committed or 0
            # If more arrives within the safe time than a round reads, nothing would be left to compare.
            is_behind = any((topic, key[1]) in begun for topic in (topics.events, topics.duplicates))
            spans[key] = Span(spans[key].first, done if is_behind else min(spans[key].end, done))
        return Known(log, topics, now - self.window_seconds, spans, self._tails, self._rejections, shown, kept)

    def _positions(self, log: int) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], int]]:
        """Return how far each table and partition is filled, and up to where rows were removed on purpose."""
        with self.servers.tables() as clickhouse:
            found = [each for each in positions.read(clickhouse, TABLES) if each.log == log]
            return {(each.table.name, each.partition): each.position for each in found}, positions.kept(clickhouse, log)

    async def _spans(self, reader: KafkaReader, asked: _Asked, now: float) -> dict[Key, Span]:
        """Return the source offsets of the window, of `items.v1` and of `rejected.v1`."""
        keys = asked.keys(asked.topics.items, asked.topics.rejected)
        first_at = max(now - self.window_seconds, self._rejected_since)
        firsts = await reader.offsets_at(dict.fromkeys(keys, _ms(first_at)))
        ends = await reader.offsets_at(dict.fromkeys(keys, _ms(now - self.safe_seconds)))
        bounds = await reader.bounds(keys)
        spans = {}
        for key in keys:
            log_end = bounds[key][1]
            first, end = (log_end if at is None else at for at in (firsts[key], ends[key]))
            spans[key] = Span(max(first, end - MOST_ITEMS // asked.partitions), end)
        return spans

    async def _read_new(self, reader: KafkaReader, asked: _Asked, log: int, now: float) -> set[Key]:
        """Read what each topic has beyond what was read; return the partitions of which it left records out."""
        keys = asked.keys(asked.topics.events, asked.topics.duplicates, asked.topics.rejected)
        bounds = await reader.bounds(keys)
        started = await reader.offsets_at(dict.fromkeys(keys, _ms(now - self.window_seconds - _MARGIN_SECONDS)))
        begun = set()
        for key in keys:
            start, end = bounds[key]
            tail = self._tails.get(key)
            most = max(1, MOST_RECORDS // asked.partitions)
            if tail is None or not start <= tail.following <= end or end - tail.following > most:
                begin = end if (at := started[key]) is None else at
                leaves_out = end - begin > most
                self._start(key, max(begin, end - most), leaves_out=leaves_out, now=now)
                if leaves_out:
                    begun.add(key)
        await self._scan(reader, (Range(*key, self._tails[key].following, bounds[key][1]) for key in keys), log)
        return begun

    def _start(self, key: Key, following: int, *, leaves_out: bool, now: float) -> None:
        (source,) = [source for source in SOURCES if key[0].endswith(f".{source.topic}")]
        self._tails[key] = Tail(source, following, leaves_out)
        if leaves_out and key[0] == Topics(self.servers.kafka.topic_prefix).rejected:
            self._rejected_since = now

    async def _scan(self, reader: KafkaReader, ranges: Iterable[Range], log: int) -> None:
        def take(record: Any) -> bool:
            if self._is_stopping:
                raise _StoppedError
            tail = self._tails[record.topic, record.partition]
            if record.offset >= tail.following:
                tail.take([record], self._rejections, log)
            return False

        _, scanned = await reader.scan(ranges, take, monotonic() + READ_SECONDS)
        for each in scanned:
            tail = self._tails[each.range.topic, each.range.partition]
            tail.following = max(tail.following, min(each.reached, each.range.end))
        if not all(each.is_complete for each in scanned):
            left = sum(max(0, each.range.end - each.reached) for each in scanned)
            raise OperateError(f"Kafka did not deliver {left:,} records within {READ_SECONDS:g} s.")


def _ms(seconds: float) -> int:
    return max(0, int(1000 * seconds))
