"""Records the lag of every stage in the table `lag`, so that SQL tells by how much a stage lags, and since when.

`sequence up` and `sequence audit --watch` do it: both have the login that may write, and run on while a worker does
not. The console has the login `analyst`, which can only read. A measurement that fails is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

import msgspec
from aiokafka.errors import KafkaError

from deploy.errors import OperateError
from deploy.operate import kafka_reader, lag
from deploy.operate.kafka_reader import KafkaReader
from deploy.operate.lag import StageLag
from deploy.operate.server_faults import clickhouse_fault, kafka_fault
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from schemas.settings import ClickHouseSettings, KafkaSettings
from schemas.topics import Topics

INTERVAL_SECONDS = 10.0
"""Time from the start of a measurement to that of the next."""
_ANSWER_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_INSERT = "INSERT INTO lag FORMAT JSONEachRow"

log = logging.getLogger(__name__)


class Row(msgspec.Struct, frozen=True):
    """A row of the table `lag`."""

    measured_at: float
    """In seconds since 1970."""
    stage: str
    topic: str
    partition: int
    workers: int
    waiting: int
    seconds: float | None


def rows(stages: Sequence[StageLag], prefix: str, now: float) -> Iterator[Row]:
    """Yield a row for each partition of *stages*, measured at *now*, in seconds since 1970."""
    measured_at = round(now, 3)
    for stage in stages:
        workers = len(stage.members.hosts)
        for key, each in stage.inputs.items():
            seconds = stage.age(key, now)
            topic = each.topic.removeprefix(f"{prefix}.")
            yield Row(measured_at, stage.name, topic, each.partition, workers, each.lag, seconds)


async def run(kafka: KafkaSettings, clickhouse: ClickHouseSettings, interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Record the lag every *interval_seconds* until the task is cancelled; an outage is logged once."""
    recorder = Recorder(kafka, clickhouse)
    failure = ""
    try:
        while True:
            began = time.monotonic()
            try:
                await recorder.record()
                failure = ""
            except Exception as error:  # noqa: BLE001  # a sample must not end the process that takes it
                reason = recorder.reason(error)
                if reason != failure:
                    log.warning("the lag cannot be recorded and is measured again: %s", reason)
                failure = reason
            await asyncio.sleep(max(0.0, began + interval_seconds - time.monotonic()))
    finally:
        await recorder.close()


class Recorder:
    """Takes samples over one connection to each server; `close` must be called."""

    def __init__(self, kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> None:
        self._kafka = kafka
        self._settings = clickhouse
        self._clickhouse = ClickHouse(clickhouse, answer_seconds=_ANSWER_SECONDS)
        self._connection = AsyncExitStack()
        self._reader: KafkaReader | None = None

    async def record(self) -> int:
        """Measure the lag and return the number of rows written; raises the errors of Kafka and of ClickHouse."""
        topics = Topics(self._kafka.topic_prefix)
        try:
            if self._reader is None:
                self._reader = await self._connection.enter_async_context(kafka_reader.connected(self._kafka))
            stages = await lag.read(self._reader, topics, await self._reader.topics())
        except BaseException:
            # A connection that failed is made again.
            await self._disconnect()
            raise
        body = b"\n".join(map(msgspec.json.encode, rows(stages, topics.prefix, time.time())))
        if not body:
            return 0  # The topics are not created yet.
        # Another thread, so that ClickHouse holds up nothing.
        return await asyncio.to_thread(self._clickhouse.execute, _INSERT, body, {"async_insert": 0})

    def reason(self, error: Exception) -> str:
        """Return what *error*, raised by `record`, means."""
        if isinstance(error, ClickHouseError):
            return clickhouse_fault(self._settings, error)
        if isinstance(error, KafkaError | OperateError | OSError):
            return kafka_fault(self._kafka, error)
        return repr(error)

    async def close(self) -> None:
        """Disconnect."""
        self._clickhouse.close()
        await self._disconnect()

    async def _disconnect(self) -> None:
        """Disconnect from Kafka, which may be gone or hang."""
        self._reader = None
        with contextlib.suppress(KafkaError, OperateError, OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._connection.aclose()
