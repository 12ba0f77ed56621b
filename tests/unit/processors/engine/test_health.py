"""Readiness of a worker: each state from the start to a stall, with its reason."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from processors.engine.app_state import AppState
from processors.engine.health import Health
from processors.engine.partition_task import Backlog
from tests.unit.processors.engine.stages import ITEMS

UNKNOWN = "assigning: It is not known yet where these partitions start: items"
OTHER = TP(ITEMS.topic, ITEMS.partition + 1)
CHANGELOG = TP("events", 0)
READY = Backlog(ready=True, processed_offset=4, records=0, size_bytes=0, oldest_ms=None, batch_started=None)


class App(SimpleNamespace):
    """A Faust app that processes its one partition."""

    assigned: set[TP]

    def __init__(self, **changes: Any) -> None:
        self.backlogs: dict[TP, Backlog] = {ITEMS: READY}
        self.remaining: dict[TP, int] = {CHANGELOG: 0}
        super().__init__(
            connected=True, should_stop=False, consumer_generation_id=3, rebalancing=False, in_recovery=False
        )
        self.runner = SimpleNamespace(stages={ITEMS.topic: None}, backlogs=lambda: self.backlogs)
        self.consumer = SimpleNamespace(assignment=lambda: {*self.assigned, CHANGELOG})
        self.tables = SimpleNamespace(recovery=SimpleNamespace(active_remaining=lambda: self.remaining))
        self.assigned = {ITEMS}
        self.__dict__.update(changes)


def status(app: App) -> str:
    unready = Health(AppState(app), stall_seconds=30.0).unready()
    return "ready" if unready is None else f"{unready.status}: {unready.message}"


def test_worker_that_processes_its_partitions_is_ready() -> None:
    assert status(App()) == "ready"


def test_worker_without_partitions_is_ready() -> None:
    assert status(App(assigned=set(), backlogs={})) == "ready"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"should_stop": True}, "stopping: "),
        ({"connected": False, "consumer_generation_id": 0}, "connecting: Kafka has not answered yet."),
        ({"consumer_generation_id": 0}, "joining: "),
        ({"rebalancing": True}, "joining: "),
        ({"rebalancing": True, "in_recovery": True, "remaining": {CHANGELOG: 12}}, "recovering: "),
        ({"backlogs": {}}, f"assigning: It is not known yet where these partitions start: {ITEMS.topic}[0]."),
        (
            {"assigned": {ITEMS, OTHER}},
            f"assigning: It is not known yet where these partitions start: {OTHER.topic}[1]",
        ),
    ],
)
def test_worker_is_not_ready_before_it_processes(changes: dict[str, Any], expected: str) -> None:
    assert status(App(**changes)).startswith(expected)


def test_recovering_worker_says_how_many_records_remain() -> None:
    app = App(in_recovery=True, remaining={CHANGELOG: 12, TP("events", 1): 30})

    assert status(app) == "recovering: The worker is recovering its local state: 42 records remain."


def test_changelog_that_the_worker_itself_extends_needs_no_recovery() -> None:
    assert AppState(App(remaining={CHANGELOG: -3})).recovery() == {CHANGELOG: 0}


@pytest.mark.parametrize(("seconds", "expected"), [(29.0, "ready"), (31.0, "stalled")])
def test_batch_that_takes_long_is_a_stall(seconds: float, expected: str) -> None:
    app = App(backlogs={ITEMS: Backlog(True, 4, 3, 0, 0, time.monotonic() - seconds)})  # noqa: FBT003

    assert status(app).startswith(expected)
    assert expected == "ready" or f"up to 31 s: {ITEMS.topic}[0]." in status(app)
