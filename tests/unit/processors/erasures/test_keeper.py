"""When the keeper of erasures looks, and what a failure does."""

from __future__ import annotations

import logging

import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError
from processors.engine.metrics import WorkerMetrics
from processors.erasures import keeper as keeping
from processors.erasures.keeper import LOOK_SECONDS, ErasureKeeper
from processors.erasures.store import ErasureStore, Row
from schemas.settings import ClickHouseSettings
from schemas.topics import Topics
from tests.fakes.erasures import MemoryDecisions, MemoryKafka


class Failing(ErasureStore):
    """A ClickHouse that refuses every statement."""

    def __init__(self) -> None:
        super().__init__(ClickHouse(ClickHouseSettings()))
        self.looks = 0

    def rows(self) -> dict[tuple[str, str], Row]:
        self.looks += 1
        raise ClickHouseError("refused", 497)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(keeping, "monotonic", lambda: now[0])
    return now


def test_keeper_looks_less_often_while_nothing_changes(clock: list[float]) -> None:
    projects, store, metrics = MemoryDecisions(), Failing(), WorkerMetrics()
    keeper = ErasureKeeper(store, MemoryKafka(), projects, metrics, Topics())
    keeper.run(clock[0])
    assert store.looks == 0, "without erasures ClickHouse is not asked"

    projects.erase("e1", "ada")
    looks = []
    for second in range(200):
        clock[0] = float(second)
        keeper.run(clock[0])
        looks.append(store.looks)
    assert looks[0] == 1
    assert looks[-1] <= 12
    # Another erasure is not kept waiting.
    projects.erase("e2", "bob")
    keeper.run(clock[0])
    assert store.looks == looks[-1] + 1
    assert metrics.registry.get_sample_value("sequence_sink_erasures_failed_total") == store.looks


def test_outage_is_logged_once_with_its_reason(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    projects = MemoryDecisions()
    projects.erase("e1", "ada")
    keeper = ErasureKeeper(Failing(), MemoryKafka(), projects, WorkerMetrics(), Topics())
    with caplog.at_level(logging.WARNING):
        for second in (0.0, LOOK_SECONDS):
            clock[0] = second
            keeper.run(second)
            keeper.run(second)

    assert [record.getMessage() for record in caplog.records] == [
        "erasures cannot proceed, retrying. The last error: refused"
    ]
