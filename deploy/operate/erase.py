"""Requests erasures: writes what is to be forgotten to `projects.v1`, and tells the persons stage on `identifies.v1`.

The sink removes the rows, see `processors.erasures`. What was acknowledged here is carried out whatever stops; a
command that was killed is run again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from deploy.errors import ArgumentError
from deploy.operate import logs, offsets
from deploy.operate.backup_directory import Directory
from deploy.operate.servers import Servers
from gateway.projects import erasures
from gateway.projects.admin import KafkaProjectsTopic, perform
from gateway.projects.changes import Change, project_of
from processors.erasures.keeper import REMOVING
from processors.erasures.store import ErasureStore, Owned, Row
from schemas.erasure import USERS_LIMIT, Erasure, user_digest
from schemas.items import MAX_ID_CHARACTERS
from schemas.project_table import ProjectTable
from schemas.projects import Project
from schemas.records import erase_record
from schemas.settings import KafkaSettings, kafka_arguments
from schemas.times import parse_time
from schemas.topics import Topics

FOLLOW_SECONDS = 3.0
"""Gateways apply a suppression within a second."""
SUPPRESSIONS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """Whom and what a person wants to be forgotten."""

    project_id: str
    users: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None
    suppress: bool = False
    backups: tuple[Path, ...] = ()
    """Directories of backups, in which those that have the users are found."""

    def parts(self, hash_key: bytes) -> Iterator[dict[bytes, str]]:
        """Yield the users by digest, as many at once as an erasure has."""
        users = sorted((user_digest(hash_key, user), user) for user in self.users)
        for start in range(0, len(users), USERS_LIMIT):
            yield dict(users[start : start + USERS_LIMIT])


@dataclass(frozen=True, slots=True)
class Requested:
    """An erasure that is written."""

    id: str
    users: int
    finished: tuple[str, ...]
    """Earlier erasures of these users that were interrupted, and are complete now."""


def checked_users(given: Sequence[str]) -> tuple[str, ...]:
    """Return the user IDs of *given*, each once; raises `ArgumentError` for one that no item can have."""
    for user in given:
        if not user.strip() or len(user) > MAX_ID_CHARACTERS or "\0" in user:
            raise ArgumentError(f"{user[:40]!r} is no user ID: it has 1 to {MAX_ID_CHARACTERS} characters.")
    if not given:
        raise ArgumentError("Name the users with --user or --users-from.")
    return tuple(dict.fromkeys(given))


def backups_in(directories: Sequence[Path]) -> tuple[tuple[str, int], ...]:
    """Return name and time, in milliseconds since 1970, of each complete backup in *directories*."""
    return tuple(
        (f"{directory}/{manifest.name}", parse_time(manifest.created_at) // 1000)
        for directory in directories
        for manifest in Directory(directory).complete()
    )


def erase(servers: Servers, request: Request) -> list[Requested]:
    """Request the erasure of everything that has arrived of the users, or of what happened in the range.

    Returns when Kafka has everything that the sink and the persons stage need. Raises `OperateError`, and
    `AdminError` for an unknown project.
    """
    servers.refuse_cluster("sequence erase")
    log, backups = logs.current(servers), backups_in(request.backups)
    topic = KafkaProjectsTopic(servers.kafka)
    project = asyncio.run(_prepare(topic, request))
    identity = servers.ask_kafka(logs.identity)
    requested = []
    with servers.tables() as clickhouse:
        store = ErasureStore(clickhouse)
        for users in request.parts(project.hash_key):
            items, rejections = servers.ask_kafka(_cut)
            wanted = Erasure(
                time.time_ns() // 1000,
                tuple(users),
                identity.cluster_id,
                log,
                items,
                rejections,
                micros(request.since),
                micros(request.until),
            )
            table = asyncio.run(topic.read())
            name, erasure, interrupted = erasures.begin(table, project.id, wanted)
            # Only the command knows the backups.
            store.write(Owned(name, project.id, b"", erasure), Row(REMOVING, "the command", backups=backups))
            asyncio.run(topic.append(erasures.written(project.id, {name: erasure})))
            ends = servers.ask_kafka(
                lambda kafka: _tell_persons(kafka, project.id, list(users.values()), erasure.requested_at)  # noqa: B023  # called at once
            )
            finished = {
                each: msgspec.structs.replace(begun, identifies=ends)
                for each, begun in {**interrupted, name: erasure}.items()
            }
            asyncio.run(topic.append(erasures.written(project.id, finished)))
            requested.append(Requested(name, len(users), tuple(interrupted)))
    return requested


def allow(servers: Servers, project_id: str, users: Sequence[str]) -> int:
    """Accept items of *users* again, and return how many of them were suppressed."""
    topic = KafkaProjectsTopic(servers.kafka)
    return asyncio.run(_suppress(topic, project_id, users, suppressed=False))


async def _prepare(topic: KafkaProjectsTopic, request: Request) -> Project:
    """Return the project with its secret; suppress the users first if that is wanted."""
    await perform(topic, lambda table, _: erasures.create_hash_key(table, request.project_id))
    if request.suppress and await _suppress(topic, request.project_id, request.users, suppressed=True):
        await asyncio.sleep(FOLLOW_SECONDS)
    return project_of(await topic.read(), request.project_id)


async def _suppress(topic: KafkaProjectsTopic, project_id: str, users: Sequence[str], *, suppressed: bool) -> int:
    changed = 0
    for start in range(0, len(users), SUPPRESSIONS_AT_ONCE):
        some = users[start : start + SUPPRESSIONS_AT_ONCE]

        def decide(table: ProjectTable, _: int) -> Change[int]:
            digests = [user_digest(project_of(table, project_id).hash_key, user) for user in some]  # noqa: B023  # called at once
            return erasures.suppress(table, project_id, digests, suppressed=suppressed)

        changed += await perform(topic, decide)
    return changed


async def _cut(kafka: KafkaSettings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ends of the partitions of `items.v1` and `rejected.v1`."""
    topics = Topics(kafka.topic_prefix)
    return await _ends(kafka, topics.items), await _ends(kafka, topics.rejected)


async def _ends(kafka: KafkaSettings, topic: str) -> tuple[int, ...]:
    _, partitions = await offsets.describe(kafka, topic)
    tps = [TopicPartition(topic, number) for number in range(partitions)]
    async with offsets.consumer(kafka) as client:
        ends = await client.end_offsets(tps)
    return tuple(ends[tp] for tp in tps)


async def _tell_persons(kafka: KafkaSettings, project_id: str, users: Sequence[str], at: int) -> tuple[int, ...]:
    """Write a record for each of *users* to `identifies.v1`, and return the ends of its partitions."""
    topic = Topics(kafka.topic_prefix).identifies
    # aiokafka's partitioner is Kafka's default, as is that of the workers.
    producer = AIOKafkaProducer(**kafka_arguments(kafka), client_id="sequence-erase", enable_idempotence=True)
    await producer.start()
    try:
        records = [erase_record(project_id, user, at) for user in users]
        sent = [await producer.send(topic, record.value, record.key) for record in records]
        for acknowledged in sent:
            await acknowledged
    finally:
        await producer.stop()
    return await _ends(kafka, topic)


def micros(at: datetime | None) -> int | None:
    """Return *at* in microseconds since 1970."""
    return None if at is None else round(at.timestamp() * 1_000_000)
