"""Partitions are added to every topic of a running deployment, on a real broker."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from deploy.errors import TopicsError
from deploy.topics import apply
from gateway.projects.admin import create_project, create_token
from processors.engine.producer import ChangelogProducer
from schemas.records import Record
from schemas.settings import KafkaSettings, TopicSettings, environment, kafka_arguments
from schemas.topics import Topics
from tests.integration.served import identify, track
from tests.integration.test_gateway_process import gateway, post, start
from tests.support import logs
from tests.support.services import eventually
from tests.support.worker_process import Worker

BATCH = {
    "batch": [
        *(track(messageId=f"m-{number}", userId=f"u-{number}") for number in range(50)),
        *(identify(messageId=f"i-{number}", userId=f"u-{number}") for number in range(20)),
    ]
}


async def add_partitions(kafka: KafkaSettings, topics: Topics) -> None:
    """Raise every topic but `projects.v1` from 4 to 8 partitions."""
    admin = AIOKafkaAdminClient(**kafka_arguments(kafka))
    await admin.start()
    try:
        declared = topics.declare(partitions=4, items_retention_days=7, dedupe_window_days=7)
        names = [topic.name for topic in declared if topic.name != topics.projects]
        await admin.create_partitions({name: NewPartitions(8) for name in names})
    finally:
        await admin.close()


async def test_same_items_count_once_when_partitions_are_added_while_all_runs(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    await create_project(kafka_settings, "dev", "Development")
    token = await create_token(kafka_settings, "dev")

    def events() -> int:
        return len(logs.read(kafka_settings, topics.events))

    with (
        Worker("dedupe", kafka_settings, tmp_path / "dedupe") as dedupe,
        Worker("persons", kafka_settings, tmp_path / "persons") as persons,
    ):
        async with gateway(kafka_settings) as running:
            assert (await post(running.url, token, BATCH))[0] == 200
            await asyncio.to_thread(eventually, lambda: events() == 70, "the items are processed")

            await add_partitions(kafka_settings, topics)
            await asyncio.to_thread(eventually, lambda: "partitions were added" in dedupe.log, "the worker logs it")
            await asyncio.to_thread(eventually, lambda: "partitions were added" in persons.log, "the worker logs it")
            async with aiohttp.ClientSession() as session, session.get(f"{running.url}/health/ready") as reply:
                assert reply.status == 200
            # The same items, and new identifies of the same users.
            assert (await post(running.url, token, BATCH))[0] == 200
            more = {"batch": [identify(messageId=f"j-{number}", userId=f"u-{number}") for number in range(20)]}
            assert (await post(running.url, token, more))[0] == 200
            async with asyncio.timeout(20):
                while not any("partitions were added" in line for line in running.lines):  # noqa: ASYNC110  # lines of a process
                    await asyncio.sleep(0.01)
        group = f"{topics.prefix}-dedupe"
        await asyncio.to_thread(
            eventually, lambda: logs.committed(kafka_settings, group, topics.items) == 160, "all items are processed"
        )
        assert (dedupe.exits, persons.exits, dedupe.running, persons.running) == (0, 0, True, True)
        assert await asyncio.to_thread(events) == 90
        for topic in (topics.items, topics.events, topics.identifies):
            ends = await asyncio.to_thread(logs.ends, kafka_settings, topic)
            assert [ends[number] for number in range(4, 8)] == [0, 0, 0, 0]


async def test_every_start_with_added_partitions_is_refused_in_one_sentence(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    await add_partitions(kafka_settings, topics)
    refusal = f"{topics.items} has 8, "

    process = await start({**environment(kafka_settings), "SEQUENCE_GATEWAY_PORT": "0"})
    _, errors = await process.communicate()
    assert process.returncode == os.EX_CONFIG, errors
    assert refusal.encode() in errors
    assert b"Traceback" not in errors
    for kind in ("dedupe", "persons", "sink"):
        with Worker(kind, kafka_settings, tmp_path / kind) as worker:
            await asyncio.to_thread(worker.until, lambda: worker.exits > 0, "the worker exits")
            assert "exiting with code 78" in worker.log
            assert "but the deployment was created with 4" in worker.log
    for partitions in (4, 8):
        with pytest.raises(TopicsError, match=r"8"):
            await apply(kafka_settings, TopicSettings(partitions=partitions))


async def test_advice_of_the_refusal_gives_a_deployment_that_works(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path
) -> None:
    await add_partitions(kafka_settings, topics)
    other = KafkaSettings(kafka_settings.bootstrap_servers, topic_prefix=f"{topics.prefix}-2")

    await apply(other, TopicSettings(partitions=8))

    await create_project(other, "dev", "Development")
    token = await create_token(other, "dev")
    with Worker("dedupe", other, tmp_path) as worker:
        async with gateway(other) as running:
            assert (await post(running.url, token, BATCH))[0] == 200
        names = Topics(other.topic_prefix)
        await asyncio.to_thread(
            worker.until, lambda: len(logs.read(other, names.events)) == 70, "the items are processed"
        )
        assert worker.exits == 0


@pytest.mark.parametrize("key_partitions", [4, None])
async def test_keys_of_a_running_worker_stay_in_their_partitions(
    kafka_settings: KafkaSettings, topics: Topics, key_partitions: int | None
) -> None:
    producer = ChangelogProducer(kafka_settings)
    await producer.start()
    try:
        producer.key_partitions = key_partitions
        await add_partitions(kafka_settings, topics)
        async with asyncio.timeout(20):
            while await producer.partitions(topics.identifies) < 8:
                await producer._started.client.force_metadata_update()
        await producer.send(topics.identifies, [Record(b"dev/u-%d" % number, b"{}") for number in range(100)])
    finally:
        await producer.stop()

    ends = await asyncio.to_thread(logs.ends, kafka_settings, topics.identifies)
    added = sum(ends[number] for number in range(4, 8))
    assert sum(ends.values()) == 100
    # Without the number of the deployment, the keys of half of the users move.
    assert (added == 0) is (key_partitions == 4)
