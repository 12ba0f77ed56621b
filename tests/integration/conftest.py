"""Fixtures: a pipeline on the shared server or on a server of the test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.support.services import Service, clickhouse_settings, embedded_clickhouse, running
from tests.support.sink_pipeline import Pipeline, sink_pipeline


@pytest.fixture
def pipeline(clickhouse: str, kafka_settings: KafkaSettings, topics: Topics) -> Iterator[Pipeline]:
    """Tables on the shared server, with merges stopped."""
    with sink_pipeline(clickhouse, kafka_settings, topics) as made:
        made.stop_merges()
        yield made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Service]:
    """A ClickHouse server of this test, which may kill it."""
    with running(embedded_clickhouse(tmp_path / "clickhouse")) as service:
        yield service


@pytest.fixture
def own_pipeline(server: Service, kafka_settings: KafkaSettings, topics: Topics) -> Pipeline:
    """Tables on the server of this test, with merges stopped."""
    settings = clickhouse_settings(server.address)
    migrate(settings)
    made = Pipeline(kafka_settings, topics, settings)
    made.stop_merges()
    return made


@pytest.fixture(scope="module")
def client(clickhouse: str) -> Iterator[ClickHouse]:
    """The tables in a database of the module."""
    made = clickhouse_settings(clickhouse, f"test_{secrets.token_hex(4)}")
    migrate(made)
    client = ClickHouse(made)
    yield client
    client.execute(f"DROP DATABASE {made.database}")
    client.close()


@pytest.fixture(scope="module")
def sources() -> Iterator[int]:
    """Source offsets of the module's rows."""
    return iter(range(10**9))
