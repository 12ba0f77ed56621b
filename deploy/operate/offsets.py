"""What Kafka knows of a consumer group and of the logs that it reads, and commits in place of a stopped group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError

from deploy.errors import OperateError
from processors.sink.resume import decode_metadata
from schemas.settings import KafkaSettings, kafka_arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

REQUEST_SECONDS = 5.0
"""How long Kafka has for an answer."""
WAIT_SECONDS = 35.0
"""Longer than the longest session of a worker."""
_POLL_SECONDS = 0.5
_LATE_SECONDS = 1.0
"""How long a start that is not wanted any more may take until it is cancelled."""


class NoAnswerError(OperateError):
    """Kafka did not answer in time."""


@dataclass(frozen=True, slots=True)
class Input:
    """One partition of a topic that a consumer group reads."""

    topic: str
    partition: int
    log_start: int
    """First offset that retention has left."""
    log_end: int
    """Offset of the next record."""
    committed: int | None = None
    metadata: str = ""
    """What the group noted with its commit."""

    @property
    def lag(self) -> int:
        """Records that the group has not committed."""
        return self.log_end - max(self.log_start, self.committed or 0)

    def noted_positions(self) -> dict[str, int]:
        """Return the position of each table at the commit; empty if the commit notes none."""
        return decode_metadata(self.metadata).positions


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group: where it is, and who is in it."""

    name: str
    members: int
    inputs: Mapping[tuple[str, int], Input] = field(default_factory=dict)


@asynccontextmanager
async def limited(kafka: KafkaSettings) -> AsyncIterator[None]:
    """End the block with `NoAnswerError` if Kafka does not answer in `REQUEST_SECONDS`."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            yield
    except TimeoutError as error:
        raise NoAnswerError(
            f"Kafka at {kafka.bootstrap_servers} did not answer within {REQUEST_SECONDS:g} s. "
            "Check SEQUENCE_KAFKA_SERVERS and that the brokers are running."
        ) from error


@asynccontextmanager
async def admin_client(kafka: KafkaSettings, **options: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect an admin client with aiokafka's *options*."""
    client = AIOKafkaAdminClient(**kafka_arguments(kafka), **options)
    try:
        await _start(client, kafka)
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def consumer(kafka: KafkaSettings, group: str | None = None, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Connect a consumer with aiokafka's *options* that joins no group; with *group* it may commit for it."""
    client = AIOKafkaConsumer(**kafka_arguments(kafka), group_id=group, enable_auto_commit=False, **options)
    try:
        await _start(client, kafka)
        yield client
    finally:
        await client.stop()


async def _start(client: AIOKafkaAdminClient | AIOKafkaConsumer, kafka: KafkaSettings) -> None:
    """Start *client*; raises aiokafka's errors, and `OperateError` if Kafka does not answer in `REQUEST_SECONDS`.

    aiokafka leaves the first connection open if its first request is cancelled, so a start is never cancelled while
    Kafka answers: it ends first, and the client is closed then.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        async with limited(kafka):
            await asyncio.shield(starting)
    finally:
        if not starting.done():
            await asyncio.wait([starting], timeout=_LATE_SECONDS)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)


async def describe(kafka: KafkaSettings, topic: str) -> tuple[str, int]:
    """Return the ID of the Kafka cluster, empty without one, and the number of partitions of *topic*."""
    async with admin_client(kafka) as admin:
        cluster = (await admin.describe_cluster()).get("cluster_id")
        counts = {found["topic"]: len(found["partitions"]) for found in await admin.describe_topics()}
    _require([topic], counts)
    return str(cluster or ""), counts[topic]


async def group(kafka: KafkaSettings, name: str, topics: Iterable[str]) -> Group:
    """Return group *name* with every partition of *topics*; `OperateError` if one of them does not exist."""
    async with admin_client(kafka) as admin:
        described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        _require(topics, described)
        tps = [TopicPartition(topic, number) for topic in topics for number in range(described[topic])]
        commits = await admin.list_consumer_group_offsets(name, partitions=tps)
        (response,) = await admin.describe_consumer_groups([name])
    (about,) = response.to_object()["groups"]
    async with consumer(kafka) as client:
        starts, ends = await client.beginning_offsets(tps), await client.end_offsets(tps)
    inputs = {}
    for tp in tps:
        commit = commits.get(tp)
        known = commit is not None and commit.offset >= 0
        inputs[tp.topic, tp.partition] = Input(
            tp.topic,
            tp.partition,
            starts[tp],
            ends[tp],
            commit.offset if known else None,
            (commit.metadata or "") if known else "",
        )
    return Group(name, len(about["members"]), inputs)


async def group_without_members(
    kafka: KafkaSettings, name: str, topics: Iterable[str], say: Callable[[str], None]
) -> Group:
    """Return group *name* once it has no members; `OperateError` if it still has some after `WAIT_SECONDS`.

    A worker that was killed or has exited with an error remains a member until its session ends.
    """
    names = list(topics)
    deadline = monotonic() + WAIT_SECONDS
    found = await group(kafka, name, names)
    if found.members:
        say(f"The consumer group {name} has members. Waiting up to {WAIT_SECONDS:.0f} s for the end of their sessions.")
    while found.members:
        if monotonic() > deadline:
            raise running_workers(name)
        await asyncio.sleep(_POLL_SECONDS)
        found = await group(kafka, name, names)
    return found


def _require(topics: Iterable[str], existing: Mapping[str, int]) -> None:
    if missing := [topic for topic in topics if topic not in existing]:
        raise OperateError(f"Topics missing: {', '.join(missing)}. Create them with `sequence topics apply`.")


async def commit(kafka: KafkaSettings, name: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Commit *offsets*, by topic and partition, for group *name*; `OperateError` while it has members."""
    tps = {TopicPartition(*key): offset for key, offset in offsets.items()}
    async with consumer(kafka, name) as client:
        client.assign(list(tps))
        try:
            await client.commit(tps)
        except CommitFailedError as error:
            raise running_workers(name) from error


def running_workers(name: str) -> OperateError:
    """Return the error about group *name*, which has members."""
    kind = name.rpartition("-")[2]
    return OperateError(
        f"The consumer group {name} has members. Stop every `sequence worker {kind}` first. Nothing was changed."
    )
