"""Where logs begin and end, asked over a connection of its own.

On the consumer's connection such a question waits behind the fetch that is under way, and a consumer whose fetching has
died is the very one that the watchdog asks about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from faust.types import TP

from processors.engine.errors import RefusedStartError
from schemas.settings import KafkaSettings, kafka_arguments

TIMEOUT_SECONDS = 20.0


class LogOffsets(NamedTuple):
    """A log's first offset, and the one that its next record gets."""

    start: int
    end: int


class OffsetReader:
    """Answers questions about logs."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect."""
        self._client = AIOKafkaConsumer(**kafka_arguments(self._settings))
        await self._client.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.stop()

    async def bounds(self, partitions: Iterable[TP]) -> dict[TP, LogOffsets]:
        """Return the bounds of each log; KafkaError or TimeoutError where Kafka does not say."""
        tps = list(partitions)
        if not tps:
            return {}
        client = self._connected
        async with asyncio.timeout(TIMEOUT_SECONDS):
            starts = await client.beginning_offsets(tps)
            ends = await client.end_offsets(tps)
        return {tp: LogOffsets(starts[tp], ends[tp]) for tp in tps}

    async def require_same_partitions(self, topics: Iterable[str]) -> None:
        """Refuse to start unless all *topics* exist and have the same number of partitions."""
        admin = AIOKafkaAdminClient(**kafka_arguments(self._settings))
        try:
            await admin.start()
            # Asking for all topics makes none, unlike asking for one by its name.
            counts = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        finally:
            await admin.close()
        names = sorted(set(topics))
        missing = [name for name in names if name not in counts]
        if missing:
            raise RefusedStartError(f"topics are missing: {', '.join(missing)}. `sequence topics apply` makes them")
        if len({counts[name] for name in names}) > 1:
            listed = ", ".join(f"{name} has {counts[name]}" for name in names)
            raise RefusedStartError(f"these topics must have the same number of partitions: {listed}")

    @property
    def _connected(self) -> AIOKafkaConsumer:
        if self._client is None:
            raise RuntimeError("not started")
        return self._client
