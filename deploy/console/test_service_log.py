"""Reads what Kafka holds of a project since the last reset: exactly, because a gateway answers after Kafka has it.

A request reads from the offsets of the last reset to the ends at the time of the request. Without a reset since the
console started, it reads everything that Kafka keeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaError

from deploy.console.errors import BusyError, TooManyItemsError
from deploy.errors import OperateError
from deploy.operate.kafka_reader import KafkaReader, Key, Range, connected
from deploy.operate.server_faults import kafka_fault
from schemas.settings import KafkaSettings

MOST_ITEMS = 10_000
MOST_BYTES = 32 * 1024 * 1024
READ_SECONDS = 5.0
WAIT_SECONDS = 10.0


@dataclass(slots=True)
class _Kept:
    """Selects the records of a project before *ends*, and keeps no more than the limits allow."""

    prefix: bytes
    ends: Mapping[Key, int]
    count: int = 0
    size: int = 0

    def __call__(self, record: Any) -> bool:
        if (
            not (record.key or b"").startswith(self.prefix)
            or record.offset >= self.ends[record.topic, record.partition]
        ):
            return False
        self.count += 1
        self.size += len(record.value or b"")
        return not self.is_over

    @property
    def is_over(self) -> bool:
        """Whether there is more than a reply may have."""
        return self.count > MOST_ITEMS or self.size > MOST_BYTES


@dataclass(slots=True)
class Log:
    """The topics of items and of rejections. One request reads at a time."""

    kafka: KafkaSettings
    topics: tuple[str, ...]
    _starts: dict[str, Mapping[Key, int]] = field(default_factory=dict)
    """By project, the offsets of its last reset."""
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reset(self, project_id: str) -> None:
        """Let the next reads of the project begin at the present ends."""
        async with self._connected() as reader:
            bounds = await self._bounds(reader, self.topics)
            self._starts[project_id] = {key: end for key, (_, end) in bounds.items()}

    async def read(self, project_id: str, topic: str) -> list[Any]:
        """Return the records of the project on *topic* since its last reset.

        Raises `TooManyItemsError`, and `BusyError` if Kafka does not answer.
        """
        async with self._connected() as reader:
            bounds = await self._bounds(reader, (topic,))
            starts = self._starts.get(project_id, {})
            ranges = [Range(*key, _start(starts.get(key, 0), *bounds[key]), bounds[key][1]) for key in bounds]
            kept = _Kept(f"{project_id}/".encode(), {key: end for key, (_, end) in bounds.items()})
            records, scanned = await reader.scan(ranges, kept, time.monotonic() + READ_SECONDS)
        if kept.is_over:
            raise TooManyItemsError(
                f"The project {project_id} has more than {MOST_ITEMS:,} items or {MOST_BYTES >> 20} MiB since its last "
                "reset. Send POST /test/reset before each test."
            )
        if not all(each.is_complete for each in scanned):
            raise BusyError("busy", f"Kafka did not deliver all records within {READ_SECONDS:g} s. Try again.")
        return records

    async def _bounds(self, reader: KafkaReader, topics: tuple[str, ...]) -> dict[Key, tuple[int, int]]:
        known = await reader.topics()
        if missing := [topic for topic in topics if topic not in known]:
            raise OperateError(f"Topics missing: {', '.join(missing)}. Create them with `sequence topics apply`.")
        return await reader.bounds((topic, number) for topic in topics for number in range(len(known[topic])))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[KafkaReader]:
        """Connect for the block, one request after the other; raises `BusyError` if that takes too long or fails."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._reading.acquire()
        except TimeoutError:
            raise BusyError("busy", "Other requests of the test service are running. Try again.") from None
        try:
            async with connected(self.kafka) as reader:
                yield reader
        except (KafkaError, OperateError, OSError) as error:
            raise BusyError("kafka_unavailable", kafka_fault(self.kafka, error)) from error
        finally:
            self._reading.release()


def _start(at: int, log_start: int, log_end: int) -> int:
    """Return where to read from: *at*, if the log has it. Retention moves the start; a new topic has lower offsets."""
    return at if log_start <= at <= log_end else log_start
