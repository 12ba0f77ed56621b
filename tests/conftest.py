"""Fixtures for every test: servers, and topics for one test. Each pytest worker has its own servers."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.topics import apply
from schemas.settings import KafkaSettings, TopicSettings, kafka_arguments
from schemas.topics import Topics
from tests.support import services
from tests.support.scheduling import FileScheduling

# A broker of a test lives for seconds or minutes. The optimizing compiler would take half of its processor time.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

# Tests run beside servers on a busy machine. What an example may cost is the matter of benchmarks.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

THIRD_PARTIES = ("aiohttp.access", "aiokafka", "asyncio", "clickhouse_connect", "faust", "mode", "urllib3")
SERVICES = frozenset({"kafka", "clickhouse"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a server."""
    for item in items:
        if isinstance(item, pytest.Function) and SERVICES.intersection(item.fixturenames):
            item.add_marker("services")


@pytest.hookimpl(optionalhook=True)  # absent without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    """Divide the tests by file."""
    return FileScheduling(config, log)


@pytest.fixture(autouse=True)
def logger_levels() -> Iterator[None]:
    """Restore the levels of third parties' loggers, which a command of `deploy.cli` sets for its process."""
    before = {name: logging.getLogger(name).level for name in THIRD_PARTIES}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a broker."""
    with services.kafka_server(tmp_path_factory.mktemp("kafka")) as address:
        yield address


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HTTP address of a ClickHouse, with a login if one is needed."""
    with services.clickhouse_server(tmp_path_factory.mktemp("clickhouse")) as url:
        yield url


@pytest.fixture
def topic_prefix() -> str:
    """A topic prefix that no other test uses."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def kafka_settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    """Settings of the broker with this test's topic prefix."""
    return KafkaSettings(bootstrap_servers=kafka, topic_prefix=topic_prefix)


@pytest.fixture
async def topics(kafka_settings: KafkaSettings) -> AsyncIterator[Topics]:
    """Every topic, with four partitions and this test's prefix; deleted after the test."""
    made = await apply(kafka_settings, TopicSettings())
    yield Topics(kafka_settings.topic_prefix)
    admin = AIOKafkaAdminClient(**kafka_arguments(kafka_settings))
    try:
        await admin.start()
        await admin.delete_topics(made)
    finally:
        await admin.close()
