"""Fixtures: a pipeline on the shared server or on a server of the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from processors.clickhouse.client import ClickHouse
from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.support import databases
from tests.support.services import Service, embedded_clickhouse, running
from tests.support.sink_pipeline import Pipeline, sink_pipeline
from tests.support.warehouse import Warehouse


@pytest.fixture
def pipeline(clickhouse: str, kafka_settings: KafkaSettings, topics: Topics) -> Iterator[Pipeline]:
    """Tables on the shared server, with merges stopped."""
    with sink_pipeline(clickhouse, kafka_settings, topics) as made:
        made.stop_merges()
        yield made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A ClickHouse server of this module, whose tests may kill it."""
    with running(embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as service:
        yield service


@pytest.fixture
def own_pipeline(server: Service, kafka_settings: KafkaSettings, topics: Topics) -> Iterator[Pipeline]:
    """Tables on the server of this module, with merges stopped."""
    if server.process is None:  # the test before has failed
        server.start()
    with sink_pipeline(server.address, kafka_settings, topics) as made:
        made.stop_merges()
        yield made


@pytest.fixture(scope="module")
def client(clickhouse: str) -> Iterator[ClickHouse]:
    """The tables in a database of the module."""
    with databases.database(clickhouse) as made:
        client = ClickHouse(made)
        yield client
        client.close()


@pytest.fixture
def warehouse(clickhouse: str) -> Iterator[Warehouse]:
    """Tables with a catalogue and typed views."""
    made = Warehouse(clickhouse)
    yield made
    made.drop()


@pytest.fixture(scope="module")
def sources() -> Iterator[int]:
    """Source offsets of the module's rows."""
    return iter(range(10**9))
