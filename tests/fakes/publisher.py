"""A publisher that keeps its records in memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence

from gateway.disk import Answer
from gateway.errors import DrainingError, OverloadedError, PublishError, PublishTimeoutError
from schemas.records import KeyValue, partitions_for


class MemoryPublisher:
    """Keeps what is published; `reachable` and `overloaded` are for the test to switch."""

    def __init__(self, *, partitions: int = 4, publish_timeout_seconds: float = 5.0) -> None:
        self.written: dict[tuple[str, int], list[KeyValue]] = defaultdict(list)
        self.reachable = True
        self.overloaded = False
        self.answers: list[Answer] = [Answer(1)]
        self._partitions = partitions
        self._publish_timeout_seconds = publish_timeout_seconds
        self._answering = asyncio.Event()
        self._answering.set()
        self._closed = False

    def records(self, topic: str) -> list[KeyValue]:
        """Return everything on *topic*, partition by partition."""
        return [record for partition in range(self._partitions) for record in self.written[topic, partition]]

    def hold(self) -> None:
        """Acknowledge nothing until `resume`."""
        self._answering.clear()

    def resume(self) -> None:
        """Acknowledge again."""
        self._answering.set()

    async def start(self) -> None:
        """Do nothing: memory is always available."""

    def publish(self, records: Mapping[str, Sequence[KeyValue]]) -> asyncio.Future[None]:
        """Keep *records*, as the protocol promises."""
        if self._closed:
            raise DrainingError
        if self.overloaded:
            raise OverloadedError
        return asyncio.ensure_future(self._keep(records))

    async def _keep(self, records: Mapping[str, Sequence[KeyValue]]) -> None:
        try:
            async with asyncio.timeout(self._publish_timeout_seconds):
                await self._answering.wait()
        except TimeoutError:
            raise PublishTimeoutError from None
        if not self.reachable:
            raise PublishError
        for topic, of_topic in records.items():
            numbers = partitions_for([key for key, _ in of_topic], self._partitions)
            for record, number in zip(of_topic, numbers, strict=True):
                self.written[topic, number].append(record)

    async def check(self) -> None:
        """Raise `PublishError` while switched off."""
        if not self.reachable:
            raise PublishError

    async def disks(self) -> Sequence[Answer]:
        """Return what the test says of the brokers' disks."""
        return self.answers

    async def close(self) -> None:
        """Reject records from now on."""
        self._closed = True
