"""Reads the records of a messageId: those that no stage has processed yet, and older ones if they are needed.

The keys of `items.v1`, `events.v1` and `duplicates.v1` name project and messageId, so one partition of each has them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from deploy.operate.kafka_reader import KafkaReader, Key, Range, Scanned
from deploy.operate.trace_records import Records, unprocessed
from deploy.operate.trace_result import ITEMS, REJECTED, Looked
from schemas.records import item_key, partition_for, person_key
from schemas.times import format_time
from schemas.topics import Topics

WINDOW_RECORDS = 100_000
"""Records of a partition that are read at once, from the newest back."""
_IDENTIFIES = "identifies.v1"
_FIRST_RECORDS_SECONDS = 2.0


@dataclass(slots=True)
class _Read:
    """What was read of a partition."""

    oldest_ms: int | None = None
    records: int = 0
    unread: int = 0
    """Records of the ranges that were not read in time."""


@dataclass(slots=True)
class TraceLog:
    """The topics, for one messageId. Records are read for *seconds_left* in all."""

    reader: KafkaReader
    topics: Topics
    records: Records
    seconds_left: float
    _read: dict[Key, _Read] = field(default_factory=lambda: defaultdict(_Read))
    _back_to: dict[Key, int] = field(default_factory=dict)
    """Offset before which nothing was read, of partitions that are read back."""

    async def open(self, counts: Mapping[str, int]) -> None:
        """Read how far the stages are; *counts* is the number of partitions of each topic."""
        topics = self.topics
        own = sorted({partition_for(key, counts[topics.items]) for key in self._keys()})
        # In the order of the flow: what one stage has committed is in the topic that the next one reads.
        for stage, asked in (
            ("dedupe", {topics.items: own}),
            ("persons", {topics.identifies: range(counts[topics.identifies])}),
            (
                "sink",
                {topics.events: own, topics.duplicates: own, topics.rejected: range(counts[topics.rejected])},
            ),
        ):
            partitions = [(topic, number) for topic, numbers in asked.items() for number in numbers]
            for (topic, number), each in (await self.reader.inputs(f"{topics.prefix}-{stage}", partitions)).items():
                self.records.inputs[self._name(topic), number] = each

    async def read_unprocessed(self) -> None:
        """Read the records that the next stage has not committed, identifies aside."""
        await self._read_unprocessed(key for key in self.records.inputs if key[0] != _IDENTIFIES)

    async def read_identifies(self, users: Iterable[tuple[str, str]]) -> None:
        """Read the identifies of *users*, with their projects, that are not folded yet."""
        count = sum(name == _IDENTIFIES for name, _ in self.records.inputs)
        await self._read_unprocessed({(_IDENTIFIES, partition_for(person_key(*user), count)) for user in users})

    async def _read_unprocessed(self, keys: Iterable[Key]) -> None:
        inputs = [self.records.inputs[key] for key in sorted(keys)]
        ranges = [Range(each.topic, each.partition, unprocessed(each), each.log_end) for each in inputs]
        for each in await self._scan(ranges):
            if each.first_ms is not None:
                self.records.oldest_ms[self._name(each.range.topic), each.range.partition] = each.first_ms

    async def read_back(self) -> None:
        """Read older items and rejections, newest first, until one is found, all is read or the time is over."""
        back = {key: each for key, each in self.records.inputs.items() if key[0] in {ITEMS, REJECTED}}
        self._back_to = {key: unprocessed(each) for key, each in back.items()}
        while not (self.records.found[ITEMS] or self.records.found[REJECTED]):
            windows = [
                Range(each.topic, each.partition, max(each.log_start, self._back_to[key] - WINDOW_RECORDS), end)
                for key, each in back.items()
                if (end := self._back_to[key]) > each.log_start
            ]
            scanned = await self._scan(windows)
            if not windows or not all(each.is_complete for each in scanned):
                break
            self._back_to |= {(self._name(each.topic), each.partition): each.start for each in windows}
        await self._follow()

    async def _follow(self) -> None:
        """Read what dedupe wrote after the items that were found and that it has processed."""
        times: dict[Key, int] = {}
        for (partition, offset), record in self.records.found[ITEMS].items():
            if offset < unprocessed(self.records.inputs[ITEMS, partition]):
                for topic in (self.topics.events, self.topics.duplicates):
                    times[topic, partition] = min(record.timestamp, times.get((topic, partition), record.timestamp))
        ranges = []
        for (topic, partition), start in (await self.reader.offsets_at(times)).items():
            end = unprocessed(self.records.inputs[self._name(topic), partition])
            if start is not None and start < end:
                ranges.append(Range(topic, partition, start, min(start + WINDOW_RECORDS, end)))
        await self._scan(ranges)

    async def _scan(self, ranges: Sequence[Range]) -> list[Scanned]:
        keys, in_value = self._keys(), msgspec.json.encode(self.records.message_id)[1:-1]

        def is_wanted(record: Any) -> bool:
            if record.topic in {self.topics.rejected, self.topics.identifies}:
                return in_value in (record.value or b"")
            return record.key in keys

        began = time.monotonic()
        wanted, scanned = await self.reader.scan(ranges, is_wanted, began + self.seconds_left)
        self.seconds_left -= time.monotonic() - began
        for record in wanted:
            self.records.found[self._name(record.topic)][record.partition, record.offset] = record
        for each in scanned:
            read = self._read[self._name(each.range.topic), each.range.partition]
            reached = min(each.reached, each.range.end)
            read.records += reached - each.range.start
            read.unread += each.range.end - reached
            read.oldest_ms = min((ms for ms in (read.oldest_ms, each.first_ms) if ms is not None), default=None)
        return scanned

    async def looked(self) -> list[Looked]:
        """Return what was read of each topic, and since when those that were read back have records."""
        inputs = self.records.inputs
        starts = {
            (inputs[key].topic, key[1]): inputs[key].log_start
            for key in self._back_to
            if inputs[key].log_end > inputs[key].log_start
        }
        first = await self.reader.first_records(starts, time.monotonic() + _FIRST_RECORDS_SECONDS)
        begins = {(self._name(topic), number): int(record.timestamp) for (topic, number), record in first.items()}
        partitions: dict[str, list[int]] = defaultdict(list)
        for name, number in sorted(self._read):
            partitions[name].append(number)
        return [self._looked(name, numbers, begins) for name, numbers in partitions.items()]

    def _looked(self, name: str, partitions: Sequence[int], begins: Mapping[Key, int]) -> Looked:
        read = {number: self._read[name, number] for number in partitions}
        return Looked(
            topic=name,
            partitions=tuple(partitions),
            records=sum(each.records for each in read.values()),
            since=_text(min((each.oldest_ms for each in read.values() if each.oldest_ms is not None), default=None)),
            reaches_back_to=_text(min((begins[name, at] for at in partitions if (name, at) in begins), default=None)),
            is_complete=not any(each.unread for each in read.values())
            and not any(
                self._back_to.get((name, number), 0) > self.records.inputs[name, number].log_start
                for number in partitions
                if (name, number) in self._back_to
            ),
        )

    def _keys(self) -> set[bytes]:
        return {item_key(project, self.records.message_id) for project in self.records.projects}

    def _name(self, topic: str) -> str:
        return topic.removeprefix(f"{self.topics.prefix}.")


def _text(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_time(time_ms * 1000)
