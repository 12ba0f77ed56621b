"""A connection to Kafka that several questions share: partitions, groups, single records, ranges of records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from deploy.operate.offsets import REQUEST_SECONDS, Input, admin_client, consumer, limited
from gateway.disk import Answer
from gateway.kafka import log_directories
from gateway.kafka.aiokafka_private import network_client
from schemas.settings import KafkaSettings

_POLL_MS = 500
_FETCH_BYTES = 4 * 1024 * 1024
_FIRST_FETCH_BYTES = 64 * 1024
"""Kafka answers with at least one batch, however large."""

_WITHOUT_COORDINATOR = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)

Key = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Members:
    """The state of a consumer group and the hosts of its members, one for each member."""

    state: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Records of a partition, from *start* to before *end*."""

    topic: str
    partition: int
    start: int
    end: int


@dataclass(slots=True)
class Scanned:
    """How far a range was read."""

    range: Range
    reached: int
    """Offset of the first record that was not read."""
    first_ms: int | None = None
    """Broker time of the first record that was read."""

    @property
    def is_complete(self) -> bool:
        """Whether all of it was read."""
        return self.reached >= self.range.end


class KafkaReader:
    """Answers questions about topics and groups. Requests raise aiokafka's errors, and `OperateError` after 5 s."""

    def __init__(
        self, kafka: KafkaSettings, admin: AIOKafkaAdminClient, client: AIOKafkaConsumer, for_single: AIOKafkaConsumer
    ) -> None:
        self._kafka = kafka
        self._admin = admin
        self._client = client
        self._for_single = for_single
        """Fetches little at once."""

    async def cluster(self) -> tuple[str, int]:
        """Return the ID of the cluster, empty without one, and the number of its brokers."""
        async with limited(self._kafka):
            found = await self._admin.describe_cluster()
        return str(found.get("cluster_id") or ""), len(found["brokers"])

    async def topics(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """Return the partitions of each topic that the user may describe."""
        async with limited(self._kafka):
            return {topic["topic"]: topic["partitions"] for topic in await self._admin.describe_topics()}

    async def disks(self, partitions: Mapping[str, int]) -> list[Answer]:
        """Return what each broker tells about its disk. *partitions* is the number of partitions of each topic."""
        async with limited(self._kafka):
            return await log_directories.ask(network_client(self._client), partitions)

    async def members(self, group: str) -> Members:
        """Return who is in *group*."""

        async def describe() -> Any:
            (response,) = await self._admin.describe_consumer_groups([group])
            (about,) = response.to_object()["groups"]
            if about["error_code"]:
                raise for_code(about["error_code"])(group)
            return about

        async with limited(self._kafka):
            about = await _with_coordinator(describe)
        hosts = tuple(str(member["client_host"]).removeprefix("/") for member in about["members"])
        return Members(str(about["state"]), hosts)

    async def bounds(self, keys: Iterable[Key]) -> dict[Key, tuple[int, int]]:
        """Return the first offset of each partition, and that of its next record."""
        tps = [TopicPartition(*key) for key in keys]
        async with limited(self._kafka):
            starts, ends = await self._client.beginning_offsets(tps), await self._client.end_offsets(tps)
        return {(tp.topic, tp.partition): (starts[tp], ends[tp]) for tp in tps}

    async def inputs(self, group: str, keys: Iterable[Key]) -> dict[Key, Input]:
        """Return each partition with what *group* has committed."""
        tps = [TopicPartition(*key) for key in keys]
        async with limited(self._kafka):
            commits = await _with_coordinator(lambda: self._admin.list_consumer_group_offsets(group, partitions=tps))
        # Ends are read after the commits, so that no lag is negative.
        bounds = await self.bounds((tp.topic, tp.partition) for tp in tps)
        found = {}
        for tp in tps:
            commit = commits.get(tp)
            known = commit is not None and commit.offset >= 0
            found[tp.topic, tp.partition] = Input(
                *(tp.topic, tp.partition, *bounds[tp.topic, tp.partition]),
                commit.offset if known else None,
                (commit.metadata or "") if known else "",
            )
        return found

    async def offsets_at(self, times_ms: Mapping[Key, int]) -> dict[Key, int | None]:
        """Return the offset of the first record of each partition at or after its time, None without one."""
        asked = {TopicPartition(*key): time_ms for key, time_ms in times_ms.items()}
        if not asked:
            return {}
        async with limited(self._kafka):
            found = await self._client.offsets_for_times(asked)
        return {(tp.topic, tp.partition): None if at is None else int(at.offset) for tp, at in found.items()}

    async def first_records(self, offsets: Mapping[Key, int], deadline: float) -> dict[Key, Any]:
        """Return the first record at or after the offset of each partition; without those that are not read in time."""
        found: dict[Key, Any] = {}
        waiting = {TopicPartition(*key): offset for key, offset in offsets.items()}
        if not waiting:
            return found
        client = self._for_single
        _seek(client, waiting)
        while waiting and (left_ms := _left_ms(deadline)) > 0:
            for tp, records in (await client.getmany(*waiting, timeout_ms=left_ms, max_records=1)).items():
                found[tp.topic, tp.partition] = records[0]
                del waiting[tp]
                client.pause(tp)
        return found

    async def scan(
        self, ranges: Iterable[Range], is_wanted: Callable[[Any], bool], deadline: float
    ) -> tuple[list[Any], list[Scanned]]:
        """Read *ranges*, of different partitions, until *deadline*; return the wanted records and how far it came."""
        scanned = {TopicPartition(each.topic, each.partition): Scanned(each, each.start) for each in ranges}
        waiting = {tp: each.range.start for tp, each in scanned.items() if not each.is_complete}
        wanted: list[Any] = []
        if waiting:
            _seek(self._client, waiting)
        while waiting and (left_ms := _left_ms(deadline)) > 0:
            for tp, records in (await self._client.getmany(*waiting, timeout_ms=left_ms)).items():
                each = scanned[tp]
                if each.first_ms is None:
                    each.first_ms = records[0].timestamp
                wanted += [record for record in records if is_wanted(record) and record.offset < each.range.end]
            for tp in list(waiting):
                scanned[tp].reached = await self._client.position(tp)
                if scanned[tp].is_complete:
                    del waiting[tp]
                    self._client.pause(tp)
        return wanted, list(scanned.values())

    async def follow(self, starts: Mapping[Key, int], deadline: float) -> AsyncIterator[Any]:
        """Yield the records of each partition from its offset on as they arrive, until *deadline*."""
        _seek(self._for_single, {TopicPartition(*key): offset for key, offset in starts.items()})
        while (left_ms := _left_ms(deadline)) > 0:
            for records in (await self._for_single.getmany(timeout_ms=left_ms)).values():
                for record in records:
                    yield record


def _seek(client: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Let *client* read each partition from its offset."""
    client.assign(list(offsets))
    for tp, offset in offsets.items():
        client.seek(tp, offset)


async def _with_coordinator(request: Callable[[], Awaitable[Any]]) -> Any:
    """Return the answer to *request* of a group. Kafka looks for the group's coordinator at the first one."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(_WITHOUT_COORDINATOR),
        stop=stop_after_delay(REQUEST_SECONDS),
        wait=wait_fixed(0.2),
        reraise=True,
    ):
        with attempt:
            return await request()
    raise AssertionError("the last attempt returns or raises")


def _left_ms(deadline: float) -> int:
    return max(0, min(_POLL_MS, int(1000 * (deadline - monotonic()))))


@asynccontextmanager
async def connected(kafka: KafkaSettings) -> AsyncIterator[KafkaReader]:
    """Connect to Kafka for the block; raises aiokafka's errors, and `OperateError` if it does not answer in 5 s."""
    limit: dict[str, Any] = {"request_timeout_ms": int(1000 * REQUEST_SECONDS)}
    # A range that retention removes meanwhile is read from what is left.
    reads = limit | {"auto_offset_reset": "earliest"}
    async with (
        admin_client(kafka, **limit) as admin,
        consumer(kafka, max_partition_fetch_bytes=_FETCH_BYTES, **reads) as client,
        consumer(kafka, max_partition_fetch_bytes=_FIRST_FETCH_BYTES, **reads) as for_single,
    ):
        yield KafkaReader(kafka, admin, client, for_single)
