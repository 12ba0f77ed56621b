"""Retention on the real engine: what leaves and what stays, against a model, with interruptions at every step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from deploy.operate import retention as operate
from processors.clickhouse.client import ClickHouse
from processors.engine import failpoints
from processors.engine.metrics import WorkerMetrics
from processors.retention.keeper import RetentionKeeper
from processors.retention.store import RetentionStore
from processors.sink.insert import ClickHouseSink
from schemas.clickhouse import EVENTS, Table
from schemas.project_table import ProjectTable
from schemas.projects import Project
from tests.contracts.sinks import valid_lease
from tests.support.services import eventually

NOW = datetime(2026, 11, 30, 15, tzinfo=UTC)  # a Monday
DAYS = {"short": 30, "middle": 90, "long": 400, "unlimited": None}
STEPS = ("recorded", "kept", "removed")


class Row(NamedTuple):
    """A row of `events`; its number is its messageId and its source offset."""

    number: int
    project: str
    event: str
    received: datetime


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the process handles it."""


class Retained:
    """A database, the projects and a clock that a test moves."""

    def __init__(self, clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clickhouse = clickhouse
        self.monkeypatch = monkeypatch
        self.now = NOW
        self.table = ProjectTable()
        self.rows: list[Row] = []
        self.left: set[int] = set()
        """Numbers of the rows that had expired at some time: a longer class does not bring them back."""

    def decide(self, days: Mapping[str, int | None], **events: int) -> None:
        """Set the days of projects, and those of the events of each project."""
        self.table.projects = {
            name: Project(name, name, 0, retention_days=kept, event_retention=tuple(events.items()))
            for name, kept in days.items()
        }

    def write(self, project: str, received: datetime, event: str = "Viewed", *, count: int = 3) -> None:
        """Write *count* rows of a minute in one part."""
        more = [Row(len(self.rows) + at, project, event, received + timedelta(seconds=at)) for at in range(count)]
        self.rows += more
        values = ", ".join(
            f"('{row.project}', '{row.event}', '{row.number}', '{row.received:%Y-%m-%d %H:%M:%S}', 1, 0, {row.number})"
            for row in more
        )
        self.clickhouse.execute(
            "INSERT INTO events (project_id, event, message_id, received_at, _log, _partition, _origin)"  # noqa: S608
            f" VALUES {values}"
        )

    def keeper(self) -> RetentionKeeper:
        """Return what a worker has that has just become the owner."""
        store = RetentionStore(self.clickhouse)
        self.monkeypatch.setattr(store, "now", self.now.timestamp)
        return RetentionKeeper(store, self, valid_lease, WorkerMetrics())

    def expire(self) -> None:
        """Look until everything that has expired has left."""
        keeper = self.keeper()
        eventually(lambda: not keeper.look(), "expired rows have left", every_seconds=0.02)
        self.left |= {row.number for row in self.rows if self._has_expired(row)}

    def stored(self) -> list[int]:
        return [int(row["id"]) for row in self.clickhouse.query("SELECT message_id AS id FROM events ORDER BY _origin")]

    def expected(self) -> list[int]:
        """Return the rows that have never expired, by the rule in docs/retention.md."""
        return [row.number for row in self.rows if not self._has_expired(row) and row.number not in self.left]

    def _has_expired(self, row: Row) -> bool:
        project = self.table.projects.get(row.project)
        days = None if project is None else dict(project.event_retention).get(row.event, project.retention_days)
        monday = (row.received - timedelta(days=row.received.weekday())).replace(hour=0, minute=0, second=0)
        return days is not None and monday + timedelta(days=7 + days) <= self.now

    def removed(self) -> int:
        """Return the number of removed rows by the ledger."""
        [row] = self.clickhouse.query("SELECT sum(removed) AS removed FROM ledger WHERE stage = 'retention'")
        return int(row["removed"])


@pytest.fixture
def retained(client: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> Retained:
    for table in ("events", "removals", "_positions"):
        client.execute(f"TRUNCATE TABLE {table}")
    return Retained(client, monkeypatch)


def kill_at(monkeypatch: pytest.MonkeyPatch, step: str, then: Callable[[], None] | None = None) -> None:
    """Kill the pass at *step*, once; or do something else there."""
    left = [step]

    def hit(name: str) -> None:
        if name in left:
            left.remove(name)
            if then is None:
                raise Killed
            then()

    monkeypatch.setattr(failpoints, "hit", hit)


def test_rows_leave_when_their_week_has_expired_and_no_others_do(retained: Retained) -> None:
    """Time moves, classes become shorter and longer, and late rows arrive."""
    for weeks in (0, 4, 5, 6, 13, 14, 58, 59):
        for project in (*DAYS, "unknown"):
            retained.write(project, NOW - timedelta(weeks=weeks, hours=7))
    retained.write("long", NOW - timedelta(days=22), "Noise")
    retained.write("unlimited", NOW - timedelta(days=22), "Noise")
    retained.decide(DAYS)
    retained.expire()
    assert retained.stored() == retained.expected()

    retained.decide(DAYS, Noise=14)
    retained.expire()
    assert retained.stored() == retained.expected()

    retained.now += timedelta(days=7)
    retained.decide({**DAYS, "short": 90, "unlimited": 400})
    retained.expire()
    assert retained.stored() == retained.expected()

    retained.write("middle", NOW - timedelta(weeks=20))
    retained.expire()
    assert retained.stored() == retained.expected()
    assert 0 < len(retained.stored()) == len(retained.rows) - retained.removed()


def test_class_that_is_not_compared_removes_wrong_rows(retained: Retained) -> None:
    """The control of the test above: the class that a project had when its rows were written decides."""
    retained.write("short", NOW - timedelta(days=60))
    retained.write("long", NOW - timedelta(days=60))
    retained.decide({"short": 90, "long": 400})
    keeper, written_with = retained.keeper(), ProjectTable()
    written_with.projects = {"short": Project("short", "short", 0, retention_days=30)}
    keeper._projects = Retained(retained.clickhouse, retained.monkeypatch)
    keeper._projects.table = written_with
    eventually(lambda: not keeper.look(), "the control has ended", every_seconds=0.02)

    assert retained.stored() != retained.expected()


@pytest.mark.parametrize("kept", [True, False], ids=["noted", "control"])
def test_position_of_the_table_stays_when_its_newest_rows_leave(retained: Retained, kept: bool) -> None:  # noqa: FBT001  # it is the value
    retained.write("unlimited", NOW - timedelta(days=100))
    retained.write("short", NOW - timedelta(days=60))
    retained.decide(DAYS)
    if not kept:
        retained.monkeypatch.setattr(RetentionStore, "keep_positions", lambda *_: None)
    retained.expire()

    positions = ClickHouseSink(retained.clickhouse).positions(EVENTS, 1, [0])
    assert positions == {0: 5 if kept else 2}


def test_position_that_is_noted_is_not_above_the_removed_rows(retained: Retained) -> None:
    """An audit looks for missing rows above the note only."""
    retained.write("short", NOW - timedelta(days=60))
    retained.write("short", NOW)
    retained.decide(DAYS)
    retained.expire()

    [noted] = retained.clickhouse.query("SELECT position, reason FROM _positions FINAL WHERE table_name = 'events'")
    assert noted == {"position": 2, "reason": "kept"}


@pytest.mark.parametrize("mixed", [True, False], ids=["mutation", "parts"])
@pytest.mark.parametrize("step", STEPS)
def test_removal_that_is_killed_and_repeated_counts_once(retained: Retained, step: str, mixed: bool) -> None:  # noqa: FBT001  # it is the value
    retained.write("short", NOW - timedelta(days=60))
    retained.write("short", NOW - timedelta(days=60))
    if mixed:
        retained.write("long", NOW - timedelta(days=60))
        retained.clickhouse.execute("OPTIMIZE TABLE events FINAL")
    retained.decide(DAYS)
    kill_at(retained.monkeypatch, step)
    with pytest.raises(Killed):
        retained.keeper().look()
    retained.expire()

    assert retained.stored() == retained.expected()
    assert retained.removed() == 6


def test_control_that_forgets_the_record_counts_nothing(retained: Retained) -> None:
    retained.write("short", NOW - timedelta(days=60))
    retained.decide(DAYS)
    retained.monkeypatch.setattr(RetentionStore, "removals", lambda *_: [])
    kill_at(retained.monkeypatch, "removed")
    with pytest.raises(Killed):
        retained.keeper().look()
    retained.keeper().look()

    assert retained.stored() == []
    assert retained.removed() == 0


def test_class_that_becomes_longer_after_a_kill_keeps_the_rows(retained: Retained) -> None:
    retained.write("short", NOW - timedelta(days=60))
    retained.decide(DAYS)
    kill_at(retained.monkeypatch, "recorded")
    with pytest.raises(Killed):
        retained.keeper().look()
    retained.decide({**DAYS, "short": 400})
    retained.expire()

    assert len(retained.stored()) == 3
    assert retained.removed() == 0


def test_two_owners_at_once_remove_and_count_once(retained: Retained) -> None:
    for weeks in (6, 7, 8):
        retained.write("short", NOW - timedelta(weeks=weeks))
    retained.decide(DAYS)
    owners = [threading.Thread(target=retained.expire) for _ in range(2)]
    for owner in owners:
        owner.start()
    for owner in owners:
        owner.join()
    retained.expire()

    assert retained.stored() == []
    assert retained.removed() == 9


@pytest.mark.parametrize("whole", [False, True], ids=["parts", "control"])
def test_row_that_arrives_during_a_removal_stays(retained: Retained, whole: bool) -> None:  # noqa: FBT001  # it is the value
    """The control drops the partition: whatever a refill writes into the week at that moment is lost."""
    then = NOW - timedelta(days=60)
    retained.write("short", then)
    retained.decide(DAYS)
    if whole:
        retained.monkeypatch.setattr(RetentionStore, "remove", drop_partition)
    kill_at(retained.monkeypatch, "kept", lambda: retained.write("unlimited", then))
    retained.expire()

    assert (retained.stored() == retained.expected() == [3, 4, 5]) is not whole


def drop_partition(self: RetentionStore, table: Table, week: str, _: str) -> None:
    self._clickhouse.execute(f"ALTER TABLE {table.name} DROP PARTITION ID '{week}'")


def test_what_leaves_next_and_what_has_left_is_shown(retained: Retained) -> None:
    retained.write("short", datetime.now(UTC) - timedelta(days=60))
    retained.decide(DAYS)
    retained.now = datetime.now(UTC)
    retained.expire()
    retained.write("short", datetime.now(UTC) - timedelta(days=34))
    retained.write("short", datetime.now(UTC))

    shown: list[dict[str, Any]] = [
        each.describe() for each in operate.show(retained.clickhouse, list(retained.table.projects.values()))
    ]
    [events] = [each for each in shown if (each["project"], each["table"]) == ("short", "events")]
    assert (events["days"], events["rows"], events["nextRows"], events["removedRows"]) == (30, 6, 3, 3)
    assert events["nextBytes"] > 0
    assert events["nextAt"].endswith("T00:00:00Z")
    assert {each["nextRows"] for each in shown if each is not events} == {0}
