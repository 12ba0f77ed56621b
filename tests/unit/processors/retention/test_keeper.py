"""When the keeper looks, by which clock, and what it does about failures."""

from __future__ import annotations

import logging
import time
from typing import cast

import pytest

from processors.clickhouse.client import ClickHouse
from processors.clickhouse.errors import ClickHouseError, LeaseEndedError, UnavailableError
from processors.engine.metrics import WorkerMetrics
from processors.retention import keeper as keeper_module
from processors.retention.keeper import BUSY_SECONDS, LOOK_SECONDS, RetentionKeeper
from processors.retention.rules import Counted, Removal
from processors.retention.store import RetentionStore
from schemas.project_table import ProjectTable
from schemas.projects import Project
from tests.contracts.sinks import valid_lease


class Projects:
    def __init__(self, days: int | None) -> None:
        self.table = ProjectTable()
        self.table.projects = {"p": Project("p", "p", 0, retention_days=days)}


class Clock:
    """A server whose clock differs from that of this machine."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def clock(self) -> float:
        return time.time() + self._ahead


class Expiring:
    """A store that answers every look in the same way."""

    def __init__(self, *, busy: bool = False, error: Exception | None = None) -> None:
        self.looks = 0
        self._busy = busy
        self._error = error

    def now(self) -> float:
        self.looks += 1
        if self._error is not None:
            raise self._error
        return 0.0

    def is_busy(self, _: object) -> bool:
        return self._busy

    def open_weeks(self, _: object) -> dict[str, list[str]]:
        return {}

    def weeks(self, *_: object) -> list[str]:
        return []


def keeper_of(store: Expiring) -> RetentionKeeper:
    return RetentionKeeper(cast("RetentionStore", store), Projects(30), valid_lease, WorkerMetrics())


@pytest.mark.parametrize("ahead", [-86_400.0, 86_400.0])
def test_row_expires_by_the_clock_that_is_behind(ahead: float) -> None:
    now = RetentionStore(cast("ClickHouse", Clock(ahead))).now()

    assert now - time.time() == pytest.approx(min(0.0, ahead), abs=5)


@pytest.mark.parametrize(("busy", "pause"), [(False, LOOK_SECONDS), (True, BUSY_SECONDS)])
def test_next_look_is_after_an_hour_or_soon_while_rows_leave(
    monkeypatch: pytest.MonkeyPatch,
    busy: bool,  # noqa: FBT001  # it is the value
    pause: float,
) -> None:
    monkeypatch.setattr(keeper_module, "monotonic", lambda: 1_000.0)
    store = Expiring(busy=busy)
    keeper = keeper_of(store)
    for now in (1_000.0, 1_000.0 + pause - 1, 1_000.0 + pause):
        keeper.run(now)
    assert store.looks == 2

    keeper.forget()
    keeper.run(1_000.0)
    assert store.looks == 3


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (ClickHouseError("no rights", 497), 1),
        (UnavailableError("gone"), 0),
        (LeaseEndedError("moved"), 0),
        (KeyError(), 1),
    ],
)
def test_failure_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture, error: Exception, lines: int) -> None:
    metrics = WorkerMetrics()
    keeper = RetentionKeeper(cast("RetentionStore", Expiring(error=error)), Projects(30), valid_lease, metrics)
    with caplog.at_level(logging.WARNING):
        for now in (0.0, 1e9):
            keeper.run(now)

    assert len(caplog.records) == lines
    assert all(record.message.startswith("expired rows cannot be removed") for record in caplog.records)
    assert metrics.registry.get_sample_value("sequence_sink_retention_failed_total") == 2


class Due(Expiring):
    """A store with rows that have expired."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []

    def weeks(self, *_: object) -> list[str]:
        return ["20261005"]

    def count(self, *_: object) -> list[Counted]:
        return [Counted("p", 1, 1)]

    def removals(self, *_: object) -> list[Removal]:
        return []

    def record(self, *_: object) -> None:
        self.steps.append("recorded")

    def keep_positions(self, *_: object) -> None:
        self.steps.append("kept")

    def remove(self, *_: object) -> None:
        self.steps.append("removed")


class Moved:
    """The lease of a worker whose partitions may have moved."""

    def deadline(self) -> float:
        raise LeaseEndedError


def test_worker_that_may_not_be_the_owner_removes_nothing() -> None:
    """Its projects may be those of an hour ago."""
    owned, moved = Due(), Due()
    RetentionKeeper(cast("RetentionStore", owned), Projects(30), valid_lease, WorkerMetrics()).look()
    with pytest.raises(LeaseEndedError):
        RetentionKeeper(cast("RetentionStore", moved), Projects(30), Moved(), WorkerMetrics()).look()

    assert owned.steps[:3] == ["recorded", "kept", "removed"]
    assert moved.steps == ["recorded"]
