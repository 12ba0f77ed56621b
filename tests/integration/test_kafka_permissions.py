"""A user with few permissions: topics are taken, and each refusal is one sentence that names operation and resource."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from deploy.errors import TopicsError
from deploy.operate import kafka_reader
from deploy.topics import apply
from gateway.disk import Answer
from gateway.kafka.log_directories import DENIED
from gateway.projects.admin import create_project, create_token
from schemas.items import Track
from schemas.records import item_record
from schemas.settings import KafkaSettings, TopicSettings, environment
from schemas.topics import Topics
from tests.integration.test_gateway_process import gateway, post
from tests.support import logs
from tests.support.secured_kafka import ADMIN, Operation, allow, as_user, secured_kafka
from tests.support.secured_parts import sequence
from tests.support.services import eventually, running

READ, WRITE, CREATE, DESCRIBE = Operation.READ, Operation.WRITE, Operation.CREATE, Operation.DESCRIBE
NOON = "2026-01-31T12:00:00.000000Z"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a broker with permissions. No other test uses it."""
    with running(secured_kafka(tmp_path_factory.mktemp("secured"))) as service:
        yield service.address


@pytest.fixture
def kafka_of(servers: str) -> KafkaSettings:
    """The broker with topics of this test alone, without a login."""
    return KafkaSettings(bootstrap_servers=servers, topic_prefix=f"t-{secrets.token_hex(4)}")


@pytest.fixture
def names(kafka_of: KafkaSettings) -> Topics:
    """Topics that an administrator has created."""
    asyncio.run(apply(as_user(kafka_of, ADMIN), TopicSettings(partitions=1)))
    return Topics(kafka_of.topic_prefix)


async def test_topics_are_created_and_taken_although_their_settings_are_hidden(
    kafka_of: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    await allow(kafka_of, "alice", "topic", kafka_of.topic_prefix, [CREATE, DESCRIBE])
    await allow(kafka_of, "alice", "topic", Topics(kafka_of.topic_prefix).projects, [READ, WRITE])
    alice = as_user(kafka_of, "alice")

    created = await apply(alice, TopicSettings(partitions=1))
    assert await apply(alice, TopicSettings(partitions=1)) == []

    assert len(created) == 7
    (line,) = [record.getMessage() for record in caplog.records if record.name == "deploy.topics"]
    assert line.startswith("the settings of 7 topics were not checked: Kafka denies DESCRIBE_CONFIGS")
    assert f"{created[0]}: message.timestamp.type=LogAppendTime, cleanup.policy=delete, retention.ms>=" in line


async def test_creation_without_permission_says_what_an_administrator_creates(kafka_of: KafkaSettings) -> None:
    with pytest.raises(
        TopicsError, match=r"items\.v1: Kafka denies CREATE on it .* with 1 partition and message\.timestamp"
    ):
        await apply(as_user(kafka_of, "alice"), TopicSettings(partitions=1))


async def test_retention_that_may_not_be_changed_is_an_error_only_if_it_is_shorter(
    kafka_of: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    week = TopicSettings(partitions=1)
    await apply(as_user(kafka_of, ADMIN), week)
    operations = [DESCRIBE, Operation.DESCRIBE_CONFIGS]
    await allow(kafka_of, "alice", "topic", kafka_of.topic_prefix, operations)
    await allow(kafka_of, "alice", "topic", Topics(kafka_of.topic_prefix).projects, [READ])
    alice = as_user(kafka_of, "alice")

    assert await apply(alice, replace(week, items_retention_days=6)) == []
    kept = [record.getMessage() for record in caplog.records if record.name == "deploy.topics"]
    assert len(kept) == 3
    assert all("records are kept longer. Kafka denies ALTER_CONFIGS on the topic to this user" in line for line in kept)
    with pytest.raises(TopicsError, match=r"items\.v1 has retention\.ms=604800000 .* Kafka denies ALTER_CONFIGS"):
        await apply(alice, replace(week, items_retention_days=8))


def test_hidden_topics_may_be_missing_or_not_permitted(kafka_of: KafkaSettings, names: Topics) -> None:
    code, output = sequence(as_user(kafka_of, "alice"), {}, "project", "list")

    assert (code, f"Topics missing: {names.projects}." in output, "DESCRIBE them" in output) == (1, True, True)


@pytest.mark.parametrize(
    ("arguments", "operation"),
    [
        (["project", "list"], DESCRIBE),
        (["gateway"], DESCRIBE),
        (["project", "create", "dev"], READ),
        (["gateway"], READ),
    ],
)
def test_refusal_of_a_command_and_of_a_gateway_is_one_sentence(
    kafka_of: KafkaSettings, names: Topics, arguments: list[str], operation: Operation
) -> None:
    asyncio.run(create_project(as_user(kafka_of, ADMIN), "shop", "Shop"))
    asyncio.run(allow(kafka_of, "bob", "topic", kafka_of.topic_prefix, [operation]))
    denied = f"READ on the topic {names.projects}" if operation is DESCRIBE else "WRITE on any topic"

    code, output = sequence(as_user(kafka_of, "bob"), {"SEQUENCE_GATEWAY_PORT": "0"}, *arguments)

    assert code == 1
    assert f"Error: Kafka denies {denied}" in output
    assert "Traceback" not in output


async def test_gateway_names_the_topic_that_it_may_not_write(kafka_of: KafkaSettings) -> None:
    admin = as_user(kafka_of, ADMIN)
    topics = Topics(kafka_of.topic_prefix)
    await apply(admin, TopicSettings(partitions=1))
    await create_project(admin, "dev", "Development")
    token = await create_token(admin, "dev")
    for topic, operations in ((topics.projects, [READ, WRITE]), (topics.items, [WRITE]), (topics.rejected, [DESCRIBE])):
        await allow(kafka_of, "carol", "topic", topic, operations)
    item = {"type": "track", "event": "Clicked", "userId": "u-1"}

    async with gateway(as_user(kafka_of, "carol")) as running_gateway, aiohttp.ClientSession():
        assert (await post(running_gateway.url, token, {"batch": [item]}))[0] == 200
        assert (await post(running_gateway.url, token, {"batch": [{"type": "track"}]}))[0] == 503

        async with asyncio.timeout(10):
            while f"WRITE on the topic {topics.rejected}" not in "".join(running_gateway.lines):  # noqa: ASYNC110  # lines of a process
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("user", "topics", "groups", "denied"),
    [
        ("dave", [READ], [READ], "WRITE on the topic {prefix}.duplicates.v1"),
        ("erin", [READ, WRITE], [], "READ on the consumer group {prefix}-dedupe"),
        ("frank", [WRITE], [READ], "READ on the topic {prefix}.events.v1"),
    ],
)
def test_worker_exits_with_78_and_names_what_is_denied(
    kafka_of: KafkaSettings,
    names: Topics,
    tmp_path: Path,
    *,
    user: str,
    topics: list[Operation],
    groups: list[Operation],
    denied: str,
) -> None:
    asyncio.run(allow(kafka_of, user, "topic", kafka_of.topic_prefix, topics))
    asyncio.run(allow(kafka_of, user, "group", kafka_of.topic_prefix, groups))

    code, output = sequence(as_user(kafka_of, user), {"SEQUENCE_WORKER_DIR": str(tmp_path)}, "worker", "dedupe")

    assert names.prefix == kafka_of.topic_prefix
    assert code == 78, output
    assert f"Kafka denies {denied.format(prefix=kafka_of.topic_prefix)}" in output
    assert "Traceback" not in output


@contextmanager
def worker(kafka: KafkaSettings, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEQUENCE_")}
    variables = {**environ, **environment(kafka), "SEQUENCE_WORKER_DIR": str(directory)}
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "worker", "dedupe"], env=variables, stderr=log
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_documented_permissions_are_enough_for_a_worker(kafka_of: KafkaSettings, names: Topics, tmp_path: Path) -> None:
    granted = {
        names.items: [READ],
        names.events: [READ, WRITE],
        names.duplicates: [READ, WRITE],
        names.identifies: [READ, WRITE],
        names.rejected: [WRITE],
        names.projects: [READ],
    }
    for topic, operations in granted.items():
        asyncio.run(allow(kafka_of, "grace", "topic", topic, operations))
    asyncio.run(allow(kafka_of, "grace", "group", kafka_of.topic_prefix, [READ]))
    admin = as_user(kafka_of, ADMIN)
    logs.write(admin, names.items, [item_record(Track("dev", "m-1", "u-1", NOON, NOON, event="Clicked"))])

    with worker(as_user(kafka_of, "grace"), tmp_path) as process:
        eventually(
            lambda: process.poll() is not None or len(logs.read(admin, names.events)) == 1, "the event is written"
        )
        assert process.poll() is None, (tmp_path / "log").read_text()


async def test_free_disk_space_is_not_known_without_describe_on_the_cluster(
    kafka_of: KafkaSettings, names: Topics
) -> None:
    async def answer() -> Answer:
        async with kafka_reader.connected(as_user(kafka_of, "frank")) as reader:
            (found,) = await reader.disks({names.items: 1})
            return found

    assert (await answer()).unknown == DENIED

    await allow(kafka_of, "frank", "cluster", "kafka-cluster", [DESCRIBE])
    async with asyncio.timeout(10):
        while (found := await answer()).unknown:
            pass
    assert [each.free_bytes > 0 for each in found.volumes] == [True]
