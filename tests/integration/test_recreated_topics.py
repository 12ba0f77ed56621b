"""Topics that are deleted and created again, and have grown past the old ones: workers refuse, none drops new items."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.topics import apply
from processors.clickhouse.client import ClickHouse
from schemas.records import item_record
from schemas.settings import ClickHouseSettings, KafkaSettings, TopicSettings, environment, kafka_arguments
from schemas.topics import Topics
from tests.support import databases, logs
from tests.support.records import track
from tests.support.services import clickhouse_settings, eventually
from tests.support.worker_process import Worker


def send(kafka: KafkaSettings, topics: Topics, first: int, count: int) -> None:
    logs.write(kafka, topics.items, [item_record(track(f"m{number}")) for number in range(first, first + count)])


def create_again(kafka: KafkaSettings, topic: str) -> None:
    """Delete *topic* and create it with nothing in it."""

    async def work() -> None:
        admin = AIOKafkaAdminClient(**kafka_arguments(kafka))
        await admin.start()
        try:
            await admin.delete_topics([topic])
            async with asyncio.timeout(20):
                while topic in await admin.list_topics():  # noqa: ASYNC110  # a broker is polled
                    await asyncio.sleep(0.1)
        finally:
            await admin.close()
        await apply(kafka, TopicSettings())

    asyncio.run(work())


def refusal(topics: Topics) -> str:
    return f"{topics.items} has the topic id"


def worker(kind: str, kafka: KafkaSettings, directory: Path, clickhouse: ClickHouseSettings | None = None) -> Worker:
    return Worker(
        kind,
        kafka,
        directory,
        environ={
            **(environment(clickhouse) if clickhouse else {}),
            # The watchdog looks every second.
            "SEQUENCE_WORKER_STALL_SECONDS": "5",
        },
    )


def events(kafka: KafkaSettings, topics: Topics) -> int:
    return sum(logs.ends(kafka, topics.events).values())


def assert_refused(running: Worker, topics: Topics) -> None:
    eventually(lambda: not running.running, "the worker refuses", output=lambda: running.log)
    assert "exiting with code 78" in running.log
    assert refusal(topics) in running.log


@pytest.mark.parametrize("while_running", [True, False])
def test_dedupe_refuses_items_of_a_topic_that_was_created_again(
    kafka_settings: KafkaSettings, topics: Topics, tmp_path: Path, *, while_running: bool
) -> None:
    send(kafka_settings, topics, 0, 40)
    with worker("dedupe", kafka_settings, tmp_path) as running:
        eventually(lambda: events(kafka_settings, topics) == 40, "the items are processed")
        if while_running:
            create_again(kafka_settings, topics.items)
            send(kafka_settings, topics, 40, 400)
            assert_refused(running, topics)
    if not while_running:
        create_again(kafka_settings, topics.items)
        send(kafka_settings, topics, 40, 400)
    with worker("dedupe", kafka_settings, tmp_path) as running:
        assert_refused(running, topics)


def test_sink_refuses_items_of_a_topic_that_was_created_again(
    kafka_settings: KafkaSettings, topics: Topics, clickhouse: str, tmp_path: Path
) -> None:
    settings = clickhouse_settings(clickhouse, f"test_{tmp_path.name.replace('-', '_')}"[:60])
    databases.create(settings)
    send(kafka_settings, topics, 0, 40)
    with worker("dedupe", kafka_settings, tmp_path / "dedupe"):
        eventually(lambda: events(kafka_settings, topics) == 40, "the items are processed")
    group = f"{topics.prefix}-sink"
    with worker("sink", kafka_settings, tmp_path / "sink", settings) as running:
        eventually(lambda: logs.committed(kafka_settings, group, topics.events) == 40, "all is written")
        assert running.running, running.log
    create_again(kafka_settings, topics.items)
    send(kafka_settings, topics, 40, 400)
    with worker("sink", kafka_settings, tmp_path / "sink", settings) as running:
        assert_refused(running, topics)
    client = ClickHouse(settings)
    client.execute(f"DROP DATABASE {settings.database}")
    client.close()
