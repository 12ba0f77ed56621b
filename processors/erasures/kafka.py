"""What an erasure asks of Kafka: how far the workers are, what `persons.v1` has, and when topics forget."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from processors.engine.offsets import check_topics, read_cluster_id
from processors.erasures.flow import Committed, Key
from processors.erasures.store import Owned
from schemas.erasure import user_digest
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.topics import Topics

BYTES_A_SECOND = 16 * 1024 * 1024
"""Rate at which `persons.v1` is read."""
DELETE_SECONDS = 60.0
"""Kafka's default."""
_POLL_MS = 500


class Offsets(NamedTuple):
    """Offsets as of one moment: the commits were read before the ends."""

    committed: Committed
    starts: Mapping[Key, int]
    ends: Mapping[Key, int]


class Left(NamedTuple):
    """Records of erased users that are still on `persons.v1`."""

    states: int = 0
    tombstones: int = 0


NONE = Left()


class Kafka(Protocol):
    """What the pass asks of Kafka. Methods block and raise KafkaError, OSError or TimeoutError."""

    def cluster_id(self) -> str:
        """Return the ID of the cluster, empty without one."""

    def offsets(self) -> Offsets:
        """Return how far the workers are, and the ends of their topics."""

    def left(self, erasures: Sequence[Owned]) -> Mapping[str, Left]:
        """Return what `persons.v1` has of the users of each erasure, by its ID; nothing for none."""

    def forget_seconds(self) -> float | None:
        """Return after how long the topics that are not compacted have no record any more; None if it is not known."""

    def delete_seconds(self) -> float:
        """Return after how long a broker has deleted a file of `persons.v1` that it has compacted."""


class KafkaCluster:
    """The requests on a cluster. Each call connects: a pass is rare."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topics = Topics(settings.topic_prefix)

    def cluster_id(self) -> str:
        """Return the ID of the cluster, empty without one."""
        return asyncio.run(read_cluster_id(self._settings))

    def offsets(self) -> Offsets:
        """Return how far the workers are, and the ends of their topics."""
        return asyncio.run(self._offsets())

    def left(self, erasures: Sequence[Owned]) -> Mapping[str, Left]:
        """Return what `persons.v1` has of the users of each erasure, by its ID."""
        return asyncio.run(self._left(erasures))

    def forget_seconds(self) -> float | None:
        """Return after how long the topics that are not compacted have no record any more."""
        topics = self._topics
        names = (topics.items, topics.events, topics.duplicates, topics.identifies, topics.rejected)
        found = asyncio.run(self._settings_of(names))
        if len(found) < len(names) or any(float(each["retention.ms"]) < 0 for each in found):
            return None
        # A record leaves with its segment, which is open for `segment.ms`.
        return max(float(each["retention.ms"]) + float(each["segment.ms"]) for each in found) / 1000

    def delete_seconds(self) -> float:
        """Return after how long a broker has deleted a file of `persons.v1` that it has compacted."""
        found = asyncio.run(self._settings_of([self._topics.persons]))
        return float(found[0]["file.delete.delay.ms"]) / 1000 if found else DELETE_SECONDS

    async def _offsets(self) -> Offsets:
        topics = self._topics
        read_by = {
            "dedupe": [topics.items],
            "persons": [topics.identifies],
            "sink": list(topics.of_tables),
        }
        committed = {}
        async with _admin(self._settings) as admin:
            counts = await _counts(admin, [name for names in read_by.values() for name in names])
            for worker, names in read_by.items():
                tps = _partitions(names, counts)
                found = await admin.list_consumer_group_offsets(f"{topics.prefix}-{worker}", partitions=tps)
                committed.update({(worker, *tp): commit.offset for tp, commit in found.items() if commit.offset >= 0})
        async with _consumer(self._settings) as client:
            tps = _partitions([name for names in read_by.values() for name in names], counts)
            starts, ends = await client.beginning_offsets(tps), await client.end_offsets(tps)
        return Offsets(
            committed,
            {(tp.topic, tp.partition): offset for tp, offset in starts.items()},
            {(tp.topic, tp.partition): offset for tp, offset in ends.items()},
        )

    async def _left(self, erasures: Sequence[Owned]) -> Mapping[str, Left]:
        search = PersonSearch(erasures)
        topic = self._topics.persons
        async with _admin(self._settings) as admin:
            tps = _partitions([topic], await _counts(admin, [topic]))
        async with _consumer(self._settings) as client:
            client.assign(tps)
            await client.seek_to_beginning()
            ends = await client.end_offsets(tps)
            while any([await client.position(tp) < ends[tp] for tp in tps]):
                for records in (await client.getmany(timeout_ms=_POLL_MS)).values():
                    size = search.add(records)
                    await asyncio.sleep(size / BYTES_A_SECOND)
        return search.found()

    async def _settings_of(self, topics: Sequence[str]) -> list[Mapping[str, str]]:
        """Return the settings of each of *topics*, without those that this user may not read."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        async with _admin(self._settings) as admin:
            responses = await admin.describe_configs(resources)
        return [
            {entry[0]: entry[1] for entry in entries}
            for response in responses
            for code, _message, _kind, _name, entries in response.resources
            if not code
        ]


class _Erased(msgspec.Struct):
    """What the value of a person says about erasures."""

    erased: int = 0


class PersonSearch:
    """Counts the records of `persons.v1` that erasures should have removed."""

    def __init__(self, erasures: Iterable[Owned]) -> None:
        self._keys: dict[str, bytes] = {}
        self._users: defaultdict[str, defaultdict[bytes, list[Owned]]] = defaultdict(lambda: defaultdict(list))
        for owned in erasures:
            self._keys[owned.project_id] = owned.hash_key
            for user in owned.erasure.users:
                self._users[owned.project_id][user].append(owned)
        self._states: Counter[str] = Counter()
        self._tombstones: Counter[str] = Counter()
        self._decode = msgspec.json.Decoder(_Erased).decode

    def add(self, records: Iterable[Any]) -> int:
        """Count *records*, and return the size of their keys and values."""
        size = 0
        for record in records:
            key, value = record.key or b"", record.value
            size += len(key) + len(value or b"")
            project_id, _, user_id = key.decode("utf-8", "replace").partition("/")
            if (secret := self._keys.get(project_id)) is None:
                continue
            for owned in self._users[project_id].get(user_digest(secret, user_id), ()):
                if value is None:
                    # Its key names the user.
                    self._tombstones[owned.id] += 1
                elif self._erased(value) < owned.erasure.requested_at:
                    self._states[owned.id] += 1
        return size

    def found(self) -> dict[str, Left]:
        """Return what was counted, by the ID of the erasure; nothing for none."""
        ids = self._states.keys() | self._tombstones.keys()
        return {each: Left(self._states[each], self._tombstones[each]) for each in ids}

    def _erased(self, value: bytes) -> int:
        try:
            return self._decode(value).erased
        except msgspec.DecodeError:
            return 0


def _partitions(names: Iterable[str], counts: Mapping[str, int]) -> list[TopicPartition]:
    return [TopicPartition(name, number) for name in names for number in range(counts[name])]


async def _counts(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """Return the number of partitions of each topic; `TopicsError` if this user may not describe one of *names*.

    Without it, the pass would not wait for the worker that reads the topic.
    """
    counts = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    check_topics(names, counts)
    return counts


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**kafka_arguments(settings))
    try:
        await client.start()
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def _consumer(settings: KafkaSettings) -> AsyncIterator[AIOKafkaConsumer]:
    client = AIOKafkaConsumer(**kafka_arguments(settings), enable_auto_commit=False)
    try:
        await client.start()
        yield client
    finally:
        await client.stop()
