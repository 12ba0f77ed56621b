"""Where outputs go: whole slices as record batches, returned when every record is acknowledged by all in-sync replicas.

A failure for good is not retried here. It ends the process, and recovery finds out from the log what was written; so
none of an idempotent producer's broken states is ever carried on with.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from processors.engine.errors import InterleavedWriterError
from schemas.records import Headers, Record, partitions_for
from schemas.settings import KafkaSettings, kafka_arguments

BATCH_BYTES = 768 * 1024
"""Below the broker's default limit of 1 MiB for a batch, with room for one more record's framing."""


class Output(msgspec.Struct, frozen=True, gc=False):
    """A record to be written; *timestamp_ms* None takes the time of writing."""

    key: bytes
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None


class ChangelogProducer:
    """An idempotent producer that writes runs of records."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._joint: dict[str, _JointSends] = {}

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(
            **kafka_arguments(self._settings),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=8 * BATCH_BYTES,
            request_timeout_ms=30_000,
        )
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect; nothing is pending, because every write was awaited."""
        if self._producer is not None:
            await self._producer.stop()

    async def append(self, topic: str, partition: int, outputs: Sequence[Output]) -> int:
        """Write *outputs* in order and return the offset of the first; the partition must have no other writer."""
        acknowledged = await self._write(topic, partition, outputs)
        base: int = acknowledged[0][0].offset
        due = base
        for metadata, count in acknowledged:
            if metadata.offset != due:
                raise InterleavedWriterError(
                    f"{topic}[{partition}]: a batch was acknowledged at {metadata.offset}, due was {due}"
                )
            due += count
        return base

    async def send(self, topic: str, records: Sequence[Record]) -> None:
        """Write *records*, each into the partition of its key. Repeats are possible after a failure."""
        if records:
            if topic not in self._joint:
                self._joint[topic] = _JointSends(partial(self._spread, topic))
            await self._joint[topic].send(records)

    async def _spread(self, topic: str, records: Sequence[Record]) -> None:
        runs: dict[int, list[Output]] = defaultdict(list)
        placed = partitions_for([record.key for record in records], await self.partitions(topic))
        for record, partition in zip(records, placed, strict=True):
            runs[partition].append(Output(record.key, record.value, record.headers))
        await asyncio.gather(*(self._write(topic, partition, run) for partition, run in runs.items()))

    async def partitions(self, topic: str) -> int:
        """Return how many partitions *topic* has."""
        return len(await self._connected.partitions_for(topic))

    @property
    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("the output log is not started")
        return self._producer

    async def _write(self, topic: str, partition: int, outputs: Sequence[Output]) -> list[tuple[Any, int]]:
        """Return each batch's metadata and number of records."""
        producer = self._connected
        pending = []
        builder = producer.create_batch()
        for output in outputs:
            key, value, headers = output.key, output.value, list(output.headers)
            if builder.append(timestamp=output.timestamp_ms, key=key, value=value, headers=headers) is None:
                pending.append((await producer.send_batch(builder, topic, partition=partition), builder.record_count()))
                builder = producer.create_batch()
                builder.append(timestamp=output.timestamp_ms, key=key, value=value, headers=headers)
        pending.append((await producer.send_batch(builder, topic, partition=partition), builder.record_count()))
        return [(await future, count) for future, count in pending]


class _JointSends:
    """Sends to one topic: what waits while others are under way goes together, in one batch for each partition.

    Slices of all partitions send a few records each, mostly at once. aiokafka has one batch of a partition under way,
    so each on its own would wait for all the others.
    """

    def __init__(self, write: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[tuple[Sequence[Record], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def send(self, records: Sequence[Record]) -> None:
        """Return when *records* are durable, or raise what sending them, or those with them, raised."""
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[None] = loop.create_future()
        self._waiting.append((records, sent))
        if self._task is None:
            self._task = loop.create_task(self._run())
        await sent

    async def _run(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting, []
                outcome: Exception | None = None
                try:
                    await self._write([record for records, _ in together for record in records])
                except Exception as error:  # noqa: BLE001  # whoever waits hears of it
                    outcome = error
                for _, sent in together:
                    if sent.done():
                        continue  # who waited was cancelled
                    if outcome is None:
                        sent.set_result(None)
                    else:
                        sent.set_exception(outcome)
        finally:
            self._task = None
