"""The requests of `sequence topics apply`, on a real broker and on the fake."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.topic_admin import Refusal, TopicAdmin, connected
from schemas.settings import KafkaSettings
from schemas.topics import Topic
from tests.fakes.topic_admin import MemoryTopicAdmin


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.services)])
def servers(request: pytest.FixtureRequest) -> str | None:
    """Address of a broker, None for the fake."""
    return None if request.param == "memory" else request.getfixturevalue("kafka")


@pytest.fixture
async def admin(servers: str | None) -> AsyncIterator[TopicAdmin]:
    if servers is None:
        yield MemoryTopicAdmin()
    else:
        async with connected(KafkaSettings(bootstrap_servers=servers)) as on_kafka:
            yield on_kafka


@pytest.fixture
def topic(topic_prefix: str) -> Topic:
    return Topic(f"{topic_prefix}.a", 2, {"cleanup.policy": "compact", "retention.ms": "3600000"})


async def created(admin: TopicAdmin, topic: Topic) -> None:
    assert await admin.create([topic], 1) == {topic.name: None}
    while topic.name not in await admin.partitions():
        pass


async def settings_of(admin: TopicAdmin, topic: Topic) -> dict[str, str]:
    found = (await admin.settings([topic]))[topic.name]
    assert not isinstance(found, Refusal)
    return dict(found)


async def test_created_topic_has_its_partitions_and_settings(admin: TopicAdmin, topic: Topic) -> None:
    await created(admin, topic)

    assert len((await admin.partitions())[topic.name]) == 2
    found = await settings_of(admin, topic)
    assert (found["cleanup.policy"], found["retention.ms"]) == ("compact", "3600000")
    assert (found["message.timestamp.type"], found["min.cleanable.dirty.ratio"]) == ("CreateTime", "0.5")


async def test_second_creation_is_refused_because_the_topic_exists(admin: TopicAdmin, topic: Topic) -> None:
    await created(admin, topic)

    answer = (await admin.create([topic], 1))[topic.name]

    assert answer is not None
    assert (answer.exists, answer.is_denied, answer.is_by_policy) == (True, False, False)


async def test_change_sets_one_value_and_leaves_the_others(admin: TopicAdmin, topic: Topic) -> None:
    await created(admin, topic)
    before = await settings_of(admin, topic)

    assert await admin.change(topic.name, "retention.ms", "7200000") is None

    while (after := await settings_of(admin, topic)) == before:
        pass
    assert after == before | {"retention.ms": "7200000"}


async def test_unknown_topic_is_refused(admin: TopicAdmin, topic: Topic) -> None:
    answers = (await admin.settings([topic]))[topic.name], await admin.change(topic.name, "retention.ms", "1")

    assert [(answer.code, answer.is_denied) for answer in answers if isinstance(answer, Refusal)] == [(3, False)] * 2


async def test_no_topics_need_no_request(admin: TopicAdmin) -> None:
    assert (await admin.create([], 1), await admin.settings([])) == ({}, {})
