"""Two commands on projects and tokens at the same time, on a real topic: neither undoes the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from gateway.errors import ProjectExistsError
from gateway.metrics import GatewayMetrics
from gateway.projects import changes
from gateway.projects.admin import (
    KafkaProjectsTopic,
    ProjectsTopic,
    create_project,
    create_token,
    list_tokens,
    perform,
    read_table,
    revoke_token,
    update_project,
)
from gateway.projects.registry import ProjectRegistry
from schemas.project_table import ProjectTable
from schemas.projects import Project, Token, digest
from schemas.records import KeyValue
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.support import logs
from tests.unit.gateway.projects import whole_entries

_T = TypeVar("_T")


class PausedTopic:
    """The topic for one command, which stops between its read and its write."""

    def __init__(self, topic: ProjectsTopic) -> None:
        self._topic = topic
        self.has_read = asyncio.Event()
        self.may_write = asyncio.Event()

    async def read(self) -> ProjectTable:
        table = await self._topic.read()
        self.has_read.set()
        return table

    async def append(self, records: Sequence[KeyValue]) -> None:
        await self.may_write.wait()
        await self._topic.append(records)


class WholeEntriesTopic(KafkaProjectsTopic):
    """The topic with records that hold a whole project or token, for the control."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__(kafka)
        self._settings = kafka

    async def read(self) -> ProjectTable:
        table = whole_entries.WholeEntries()
        topic = Topics(self._settings.topic_prefix).projects
        for record in await asyncio.to_thread(logs.read, self._settings, topic):
            table.apply(record.key, record.value)
        return table


async def around(
    paused: PausedTopic, command: Callable[[ProjectsTopic], Awaitable[_T]], other: Awaitable[object]
) -> _T:
    """Run *other* between the read and the write of *command*; return the result of *command*."""
    async with asyncio.timeout(60):
        running = asyncio.ensure_future(command(paused))
        await paused.has_read.wait()
        await other
        paused.may_write.set()
        return await running


@pytest.fixture
def settings(kafka_settings: KafkaSettings, topics: Topics) -> KafkaSettings:
    assert topics.prefix == kafka_settings.topic_prefix
    return kafka_settings


@asynccontextmanager
async def started(settings: KafkaSettings) -> AsyncIterator[ProjectRegistry]:
    registry = ProjectRegistry(settings, GatewayMetrics(), start_timeout_seconds=10)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.close()


async def test_token_revoked_during_a_rotation_stays_revoked(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")
    old = await create_token(settings, "dev")
    (known,) = await list_tokens(settings)
    async with started(settings) as following:
        assert following.find_and_record_use(old) is not None

        successor = await around(
            PausedTopic(KafkaProjectsTopic(settings)),
            lambda topic: perform(
                topic, lambda table, now: changes.rotate_token(table, now, known.id, overlap_seconds=3600)
            ),
            revoke_token(settings, known.id),
        )

        async with asyncio.timeout(10):
            while following.find_and_record_use(successor) is None:  # noqa: ASYNC110  # what it waits for is in Kafka
                await asyncio.sleep(0.01)
        assert following.find_and_record_use(old) is None
    async with started(settings) as later:
        assert later.find_and_record_use(old) is None
        assert later.find_and_record_use(successor) is not None


async def test_project_disabled_during_a_change_of_its_rate_stays_disabled(settings: KafkaSettings) -> None:
    await create_project(settings, "dev", "Development")

    await around(
        PausedTopic(KafkaProjectsTopic(settings)),
        lambda topic: perform(
            topic, lambda table, _: changes.update_project(table, "dev", items_per_second=5, burst=50)
        ),
        update_project(settings, "dev", disabled=True),
    )

    project = (await read_table(settings)).projects["dev"]
    assert (project.disabled, project.rate()) == (True, (5, 50))


async def test_second_of_two_concurrent_creations_fails(settings: KafkaSettings) -> None:
    with pytest.raises(ProjectExistsError):
        await around(
            PausedTopic(KafkaProjectsTopic(settings)),
            lambda topic: perform(topic, lambda table, now: changes.create_project(table, now, "dev", "Second")),
            create_project(settings, "dev", "First"),
        )

    assert (await read_table(settings)).projects["dev"].name == "First"


async def test_rotation_that_writes_the_token_as_read_undoes_a_revocation(settings: KafkaSettings) -> None:
    topic = WholeEntriesTopic(settings)
    old = digest("seq_dev_old-0123456789")
    await topic.append([whole_entries.project_record(Project("dev", "Development", 0))])
    await topic.append([whole_entries.token_record(old, Token(old[:16], "dev", "", 0))])

    await around(
        PausedTopic(topic), lambda paused: whole_entries.rotate(paused, old, 3600), whole_entries.revoke(topic, old)
    )

    assert (await topic.read()).tokens[old].revoked_at is None
