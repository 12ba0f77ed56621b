"""Finds the offset of a topic that follows a position: reads windows of it with a consumer of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.engine.stage import InputOffsets, SourceRecord
from processors.sink.resume import Found, Window, search, windows_needed
from schemas.records import source_offset_of
from schemas.settings import KafkaSettings, kafka_arguments

WINDOW_SECONDS = 300.0
"""Longest time for one window; a window that takes longer ends the worker, and the next start tries again."""
PROGRESS_SECONDS = 10.0
"""Time between two log lines of a search."""
CONCURRENT_SEARCHES = 4
_FETCH_BYTES = 4 * 1024 * 1024

log = logging.getLogger(__name__)


class Windows(Protocol):
    """Windows of one partition."""

    async def read(self, offset: int, position: int) -> Window:
        """Return the window that begins at *offset*, or at the start of the log if that is later."""


LogReader = Callable[[str, int, int], AbstractAsyncContextManager[Windows]]
"""Opens the windows of a partition: topic, partition, and the offset at which the log ends."""


class KafkaWindows:
    """Windows of a partition on Kafka."""

    def __init__(self, consumer: AIOKafkaConsumer, tp: TopicPartition, log_end: int) -> None:
        self._consumer = consumer
        self._tp = tp
        self._log_end = log_end

    async def read(self, offset: int, position: int) -> Window:
        """Return the window that begins at *offset*; TimeoutError after `WINDOW_SECONDS`."""
        window = Window(position)
        self._consumer.seek(self._tp, offset)
        async with asyncio.timeout(WINDOW_SECONDS):
            while not window.has_ended and await self._consumer.position(self._tp) < self._log_end:
                for records in (await self._consumer.getmany(self._tp, timeout_ms=500)).values():
                    add_records(window, records, self._log_end)
        return window


def add_records(window: Window, records: Iterable[SourceRecord], log_end: int) -> None:
    """Add *records* below *log_end* to *window* until it has ended; records that the stage rejects are left out."""
    for record in records:
        if window.has_ended or record.offset >= log_end:
            return
        try:
            source_offset = source_offset_of(record.headers)
        except (KeyError, ValueError):
            continue
        window.add(source_offset, len(record.value or b""))


def kafka_log_reader(settings: KafkaSettings) -> LogReader:
    """Return the reader of the logs on Kafka."""

    @asynccontextmanager
    async def opened(topic: str, partition: int, log_end: int) -> AsyncIterator[Windows]:
        tp = TopicPartition(topic, partition)
        consumer = AIOKafkaConsumer(
            **kafka_arguments(settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        try:
            await consumer.start()
            # aiokafka's `stop` raises CancelledError if a task of its own has not begun to run yet.
            await asyncio.sleep(0)
            consumer.assign([tp])
            yield KafkaWindows(consumer, tp, log_end)
        finally:
            await consumer.stop()

    return opened


class SourceOffsetFinder:
    """Finds offsets of a topic whose records carry source offsets, which grow along a partition."""

    def __init__(self, topic: str, source: str, reader: LogReader) -> None:
        self._topic = topic
        self.source = source
        """The topic of the source offsets."""
        self._reader = reader
        self._searches = asyncio.Semaphore(CONCURRENT_SEARCHES)

    def known_start(self, position: int) -> int:
        """Return 0: only a search tells."""
        del position
        return 0

    async def find(self, partition: int, inputs: InputOffsets, position: int) -> Found:
        """Return where the records begin whose source offsets exceed *position*."""
        log_start, log_end = inputs.log_start, inputs.log_end
        if position < 0 and log_start == 0:
            return Found(0)
        async with self._searches, self._reader(self._topic, partition, log_end) as windows:
            name = f"{self._topic}[{partition}]"
            start = await _search(windows, name, (log_start, log_end), position) if position >= 0 else log_start
            if start > log_start or log_start == 0:
                return Found(start)
            window = await windows.read(log_start, position)
            return Found(start, window.follows_position, window.exceeding)


class OwnOffsetFinder:
    """The finder of a topic whose records' own offsets are the source offsets: `persons.v1`."""

    def __init__(self, topic: str) -> None:
        self.source = topic

    def known_start(self, position: int) -> int:
        """Return the offset after *position*."""
        return position + 1

    async def find(self, partition: int, inputs: InputOffsets, position: int) -> Found:
        """Return where the records begin whose offsets exceed *position*."""
        del partition
        start = max(position + 1, inputs.log_start)
        return Found(start, start == position + 1, start)


async def _search(windows: Windows, name: str, bounds: tuple[int, int], position: int) -> int:
    """Return an offset at or before the first record whose source offset exceeds *position*; *name* is for the log."""
    began = logged = monotonic()
    steps, needed, read = search(*bounds), windows_needed(*bounds), 0
    try:
        offset = next(steps)
        while True:
            window = await windows.read(offset, position)
            read += 1
            if (now := monotonic()) - logged >= PROGRESS_SECONDS:
                logged = now
                log.info(
                    "%s: searching the offset that follows source offset %d: %d of at most %d windows read in %.0f s",
                    *(name, position, read, needed, now - began),
                )
            offset = steps.send(window)
    except StopIteration as found:
        return int(found.value)
