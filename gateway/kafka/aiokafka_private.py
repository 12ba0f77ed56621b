"""The private names of aiokafka that the gateway uses, all of them and only here.

Each has a canary test in `tests/unit/gateway/kafka/test_aiokafka_private.py`, which says what to do when an upgrade of
aiokafka breaks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError

from schemas.records import KeyValue

_NO_HEADERS: list[tuple[str, bytes]] = []
_FORCED_CLOSE_SECONDS = 1.0


def append_records(builder: Any, records: Sequence[KeyValue], timestamp_ms: int) -> int:
    """Append *records* to a `BatchBuilder` until it is full; return how many fitted, at least one if it was empty.

    `BatchBuilder.append` takes longer for a record than the compiled method that it wraps.
    """
    append = builder._builder.append  # noqa: SLF001
    first: int = builder._relative_offset  # noqa: SLF001
    offset = first
    for key, value in records:
        if append(offset, timestamp_ms, key, value, _NO_HEADERS) is None:
            break
        offset += 1
    builder._relative_offset = offset  # noqa: SLF001
    return offset - first


def sender_task(producer: AIOKafkaProducer) -> asyncio.Task[None]:
    """Return the task that sends the batches of a started *producer*. A producer whose task ended sends nothing."""
    task: asyncio.Task[None] = producer._sender.sender_task  # noqa: SLF001
    return task


class MetadataSource:
    """Lets a producer ask some brokers only for the leaders of partitions; by default it asks any."""

    def __init__(self, producer: AIOKafkaProducer, left_out: Callable[[], Collection[int]]) -> None:
        """Leave out the brokers that *left_out* returns, while another one answers."""
        self._client: Any = producer.client
        self._left_out = left_out
        self._connect, self._update = self._client._get_conn, self._client._metadata_update  # noqa: SLF001
        self._passed_over: ContextVar[Collection[int]] = ContextVar("passed_over", default=())
        self._client._get_conn, self._client._metadata_update = self._connection, self._updated  # noqa: SLF001

    def refresh(self) -> None:
        """Ask soon."""
        self._client.force_metadata_update()

    def disconnect(self, broker: int) -> None:
        """Close the connections to *broker*, so that what it has not acknowledged is sent again, to the leaders."""
        for (node_id, _), connection in list(self._client._conns.items()):  # noqa: SLF001
            if node_id == broker:
                connection.close()

    async def _connection(self, node_id: Any, **options: Any) -> Any:
        return None if node_id in self._passed_over.get() else await self._connect(node_id, **options)

    async def _updated(self, cluster: ClusterMetadata, topics: Any) -> bool:
        left_out = self._left_out()
        if any(broker.nodeId not in left_out for broker in self._client.cluster.brokers()):
            before = self._passed_over.set(left_out)
            try:
                if await self._update(cluster, topics):
                    return True
            finally:
                self._passed_over.reset(before)
        is_updated: bool = await self._update(cluster, topics)
        return is_updated


def fail_pending(producer: AIOKafkaProducer) -> None:
    """Fail every batch of *producer* that is not acknowledged, which it never does itself once its sender has ended."""
    accumulator = producer._message_accumulator  # noqa: SLF001
    batches = [*accumulator._pending_batches, *chain.from_iterable(accumulator._batches.values())]  # noqa: SLF001
    accumulator.fail_all(KafkaError("The producer was closed before the batch was acknowledged."))
    for future in chain.from_iterable((batch.future, batch._drain_waiter) for batch in batches):  # noqa: SLF001
        # Retrieved here, because asyncio logs exceptions of futures that nobody awaits any more.
        if future.done() and not future.cancelled():
            future.exception()


async def close(client: AIOKafkaConsumer | AIOKafkaProducer, *, timeout_seconds: float) -> None:
    """Stop *client*; after the timeout fail what is pending and close its connections.

    While the broker is unreachable, a producer's `stop` waits indefinitely, and a consumer's can end early with the
    cancellation of one of its own tasks. Both then leave connections open.
    """
    stopping = asyncio.ensure_future(client.stop())
    try:
        await asyncio.wait([stopping], timeout=timeout_seconds)
    finally:
        if isinstance(client, AIOKafkaProducer):
            fail_pending(client)
        if not stopping.done() or stopping.cancelled() or stopping.exception() is not None:
            await _force_close(client, stopping)


async def _force_close(client: AIOKafkaConsumer | AIOKafkaProducer, stopping: asyncio.Future[None]) -> None:
    if isinstance(client, AIOKafkaProducer):
        stopped = asyncio.gather(stopping, client._sender.close(), return_exceptions=True)  # noqa: SLF001
        await asyncio.wait([stopped], timeout=_FORCED_CLOSE_SECONDS)
    stopping.cancel()
    await network_client(client).close()


def network_client(client: AIOKafkaConsumer | AIOKafkaProducer) -> AIOKafkaClient:
    """Return the client that sends the requests of a started *client*."""
    return client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001
