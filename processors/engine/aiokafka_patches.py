"""Everything of the engine that depends on the inside of aiokafka: two process-wide patches and some private names.

`tests/unit/processors/engine/test_private_names.py` has a canary for each name: what to do if an upgrade breaks it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import fetcher
from aiokafka.errors import IllegalStateError, KafkaConnectionError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from processors.engine.output import Output


class SlimRecord(msgspec.Struct, frozen=True, gc=False):
    """A record with what stages use; the garbage collector need not track it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class SlimRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka publishes no types
    """aiokafka's decoder of a fetched partition, making `SlimRecord`s: its own records cost a third of reading."""

    def _consumer_record(self, tp: object, record: Any) -> SlimRecord:
        del tp
        return SlimRecord(record.offset, record.timestamp, record.key, record.value, tuple(record.headers))


def patch_consumer_records() -> None:
    """Make every consumer of this process read `SlimRecord`s: aiokafka looks the class up by its name."""
    fetcher.PartitionRecords = SlimRecords


_send = AIOKafkaConnection.send


def patch_closed_transport_error() -> None:
    """Make a request to a closed connection fail with `KafkaConnectionError`, which aiokafka retries, under uvloop.

    Between a broker's death and the moment when aiokafka notices it, a request may be written to a closed transport.
    asyncio drops it and reports the lost connection. uvloop raises `RuntimeError`, which would end aiokafka's fetching
    or sending task for good (https://github.com/aio-libs/aiokafka/issues/1038).
    """
    AIOKafkaConnection.send = _send_or_close


def _send_or_close(connection: Any, *arguments: Any, **named: Any) -> Any:
    try:
        return _send(connection, *arguments, **named)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection is closed: {error}") from error


def append_outputs(builder: Any, outputs: Sequence[Output], timestamp_ms: int) -> int:
    """Append *outputs* to a new `BatchBuilder` until it is full; return how many fitted, at least one.

    `BatchBuilder.append` takes longer for a record than the compiled method that it wraps.
    """
    append = builder._builder.append  # noqa: SLF001
    count = 0
    for output in outputs:
        headers = output.headers
        if type(headers) is not list:
            headers = list(headers)
        if append(count, timestamp_ms, output.key, output.value, headers) is None:
            break
        count += 1
    builder._relative_offset = count  # noqa: SLF001
    return count


def set_initial_fetch_wait(consumer: Any, max_wait_ms: int) -> None:
    """Set how long the broker holds a fetch without data, before *consumer* is started."""
    consumer._fetch_max_wait_ms = max_wait_ms  # noqa: SLF001  # Faust fixes this argument


def set_fetch_wait(consumer: Any, min_bytes: int, max_wait_ms: int) -> None:
    """Make the broker hold the next fetches until *min_bytes* are there, at most *max_wait_ms*."""
    consumer._fetcher._fetch_min_bytes = min_bytes  # noqa: SLF001  # read anew for each request
    consumer._fetcher._fetch_max_wait_ms = max_wait_ms  # noqa: SLF001


def add_commit_metadata(
    consumer: Any, metadata: Callable[[Any], str], sent: Callable[[Mapping[Any, int]], None]
) -> None:
    """Make *consumer* commit what *metadata* returns for a partition with its offset; Faust commits an empty text.

    Calls *sent* with the offsets before they are sent.
    """
    commit = consumer.commit

    async def with_metadata(offsets: Mapping[Any, Any]) -> None:
        sent({tp: each.offset for tp, each in offsets.items()})
        await commit({tp: OffsetAndMetadata(each.offset, metadata(tp)) for tp, each in offsets.items()})

    consumer.commit = with_metadata


async def committed_offsets(consumer: Any, partitions: Iterable[Any]) -> dict[Any, tuple[int, str]]:
    """Return offset and metadata of each partition that the group of *consumer* has committed."""
    found = await consumer._coordinator.fetch_committed_offsets(list(partitions))  # noqa: SLF001  # `committed` has no metadata
    return {tp: (commit.offset, commit.metadata or "") for tp, commit in found.items() if commit.offset >= 0}


def observe_heartbeats(consumer: Any, sent: Callable[[], Callable[[object], None]]) -> None:
    """Call *sent* before each heartbeat is sent, and its result once the group coordinator accepts the heartbeat.

    The result gets the coordinator. aiokafka reports success as well while the group is rebalancing. Such a heartbeat
    keeps no partition: the group ends the membership if this worker does not rejoin in time.
    """
    coordinator = consumer._coordinator  # noqa: SLF001  # aiokafka keeps the time of the last heartbeat to itself
    beat = coordinator._do_heartbeat  # noqa: SLF001

    async def observed() -> bool:
        accepted = sent()
        node = coordinator.coordinator_id
        success: bool = await beat()
        if success and not coordinator._rejoin_needed_fut.done():  # noqa: SLF001
            accepted(node)
        return success

    coordinator._do_heartbeat = observed  # noqa: SLF001


async def is_committed_by(consumer: Any, node: object, offsets: Mapping[Any, tuple[int, str]]) -> bool:
    """Commit *offsets*, each with its metadata, once and return whether the coordinator *node* has acknowledged them.

    A coordinator that is cut off from the other brokers does not notice it, and accepts heartbeats. A commit it cannot
    acknowledge: no replica copies it.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    if not offsets or coordinator.coordinator_id != node:
        return False
    try:
        # Not `commit`, which would try again at another coordinator.
        await coordinator._do_commit_offsets(None, {tp: OffsetAndMetadata(*each) for tp, each in offsets.items()})  # noqa: SLF001
    except KafkaError:
        return False
    return bool(coordinator.coordinator_id == node)


async def send_heartbeat(consumer: Any) -> None:
    """Send a heartbeat beside aiokafka's own, unless *consumer* is not a member of its group or is joining it.

    A heartbeat during a join would have the wrong generation. Errors are left to aiokafka's next heartbeat.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    is_member = coordinator._heartbeat_task is not None and not coordinator._heartbeat_task.done()  # noqa: SLF001
    if is_member and not coordinator._rejoin_needed_fut.done():  # noqa: SLF001
        with suppress(KafkaError):
            await coordinator._do_heartbeat()  # noqa: SLF001


@contextmanager
def connection_errors() -> Iterator[list[str]]:
    """Collect what aiokafka logs about connections that fail, in place of its log lines.

    `AIOKafkaClient.bootstrap` logs the reason for each address, and raises an error without it.
    """
    messages: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        messages.append(record.getMessage())
        return False

    logger = logging.getLogger("aiokafka")
    logger.addFilter(collect)
    try:
        yield messages
    finally:
        logger.removeFilter(collect)


def current_assignment(consumer: Any) -> object:
    """Return the object that identifies the present assignment; `IllegalStateError` during a rebalance."""
    subscription = consumer._subscription  # noqa: SLF001
    if subscription.reassignment_in_progress:
        raise IllegalStateError("a rebalance has begun")
    return subscription.subscription.assignment
