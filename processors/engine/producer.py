"""Writes outputs to Kafka: whole batches, returned when every record is acknowledged by all in-sync replicas.

A failed write is not retried here. It exits the process, and recovery learns from the log what was written; an
idempotent producer whose batch failed for good has a gap in its sequence and cannot be used any more.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaProducer

from processors.engine.aiokafka_patches import append_outputs
from processors.engine.coalescer import Coalescer
from processors.engine.errors import InterleavedWriterError
from processors.engine.output import Output
from schemas.broker_clock import BrokerClock
from schemas.records import Record, partitions_for
from schemas.settings import KafkaSettings, kafka_arguments

__all__ = ["ChangelogProducer", "Output"]

BATCH_BYTES = 768 * 1024
"""Below the broker's default limit of 1 MiB for a batch, with room for one more record's framing."""


class ChangelogProducer:
    """An idempotent producer that writes batches of records."""

    def __init__(self, settings: KafkaSettings, clock: BrokerClock | None = None) -> None:
        self._settings = settings
        self._clock = clock or BrokerClock()
        self._producer: AIOKafkaProducer | None = None
        self._coalescers: dict[str, Coalescer[Sequence[Record]]] = {}
        self.key_partitions: int | None = None
        """Number of partitions that keys are spread over; None takes the number that the topic has."""

    async def start(self) -> None:
        """Connect, unless connected; KafkaConnectionError if Kafka does not answer."""
        if self._producer is not None:
            return
        producer = AIOKafkaProducer(
            **kafka_arguments(self._settings),
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=8 * BATCH_BYTES,
            request_timeout_ms=30_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Disconnect; nothing is pending, because every write was awaited."""
        if self._producer is not None:
            await self._producer.stop()

    async def append(self, topic: str, partition: int, outputs: Sequence[Output]) -> int:
        """Write *outputs* in order and return the offset of the first; the partition must have no other writer."""
        acknowledged = await self._write(topic, partition, outputs)
        first: int = acknowledged[0][0].offset
        expected = first
        for metadata, count in acknowledged:
            if metadata.offset != expected:
                raise InterleavedWriterError(
                    f"{topic}[{partition}]: outputs were acknowledged at offset {metadata.offset}, expected "
                    f"{expected}: another worker wrote in between."
                )
            expected += count
        return first

    async def send_to(self, topic: str, partition: int, outputs: Sequence[Output]) -> None:
        """Write *outputs* in order, at least once; the partition may have other writers."""
        if outputs:
            await self._write(topic, partition, outputs)

    async def send(self, topic: str, records: Sequence[Record]) -> None:
        """Write *records*, each to the partition of its key, at least once.

        All partitions of a worker send a few records each at the same time. aiokafka has one batch of a partition in
        flight, so they are coalesced: each alone would wait for all the others.
        """
        if records:
            if topic not in self._coalescers:
                self._coalescers[topic] = Coalescer(partial(self._write_by_key, topic))
            await self._coalescers[topic].submit(records)

    async def _write_by_key(self, topic: str, submitted: Sequence[Sequence[Record]]) -> None:
        records = list(chain.from_iterable(submitted))
        outputs: dict[int, list[Output]] = defaultdict(list)
        # Partitions that were added to a running deployment get nothing: a key would move to another partition.
        count = self.key_partitions or await self.partitions(topic)
        numbers = partitions_for([record.key for record in records], count)
        for record, partition in zip(records, numbers, strict=True):
            outputs[partition].append(Output(record.key, record.value, record.headers))
        await asyncio.gather(*(self._write(topic, partition, batch) for partition, batch in outputs.items()))

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of *topic*."""
        return len(await self._started.partitions_for(topic))

    @property
    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("the producer is not started")
        return self._producer

    async def _write(self, topic: str, partition: int, outputs: Sequence[Output]) -> list[tuple[Any, int]]:
        """Return the metadata and the number of records of each batch."""
        producer, sent_at = self._started, time.time()
        pending = []
        while outputs:
            builder = producer.create_batch()
            count = append_outputs(builder, outputs, int(sent_at * 1000))
            pending.append((await producer.send_batch(builder, topic, partition=partition), count))
            outputs = outputs[count:]
        acknowledged = [(await future, count) for future, count in pending]
        for metadata, _ in acknowledged[:1]:
            self._clock.observe(metadata.timestamp, sent_at, time.time())
        return acknowledged
