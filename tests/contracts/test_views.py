"""The check of materialized views on the real engine."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest

from processors.clickhouse.client import ClickHouse
from processors.engine.metrics import WorkerMetrics
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, person_rows
from processors.sink.views import ViewCheck, WrittenRows
from schemas.clickhouse import EVENTS, PERSONS
from schemas.persons import encode_person, fold
from schemas.settings import ClickHouseSettings
from tests.contracts.sinks import block, valid_lease
from tests.support.records import SlimRecord, identify

pytestmark = pytest.mark.services


class Case:
    """A check of the views of `events` over one block of five rows."""

    def __init__(self, client: ClickHouse) -> None:
        self.client = client
        self.metrics = WorkerMetrics()
        self.check = ViewCheck(client, self.metrics)
        self.table = EVENTS
        self.unchecked = WrittenRows()
        self.check.watch(self)

    def insert(self, offsets: range, partition: int = 0) -> None:
        written = block(offsets, partition)
        ClickHouseSink(self.client).insert([written], valid_lease)
        self.unchecked.add(written)

    def view(self, name: str, select: str, target: str = "") -> None:
        where = f"TO {target}" if target else "ENGINE = MergeTree ORDER BY n"
        self.client.execute(f"CREATE MATERIALIZED VIEW {name} {where} AS {select}")

    @property
    def failing(self) -> set[str]:
        """Return the views that the metric names, without their database."""
        [family] = [each for each in self.metrics.registry.collect() if each.name == "sequence_sink_failing_views"]
        return {sample.labels["view"].partition(".")[2] for sample in family.samples if sample.value == 1}


@pytest.fixture
def case(clickhouse_client: ClickHouse) -> Case:
    case = Case(clickhouse_client)
    case.insert(range(5))
    return case


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="processors.sink.views")
    return caplog


def test_healthy_views_are_not_named(case: Case, lines: pytest.LogCaptureFixture) -> None:
    case.view("plain", "SELECT _origin AS n, event FROM events")
    case.view("grouped", "WITH 3 AS x SELECT count() AS n, event FROM events WHERE x = 3 GROUP BY event")
    case.view("joined", "SELECT a._origin AS n FROM events AS a INNER JOIN identifies AS i ON a.user_id = i.user_id")
    case.client.execute("CREATE TABLE target (n UInt32, t String, more String) ENGINE = MergeTree ORDER BY n")
    case.view("dynamic", "SELECT properties.price AS n, toString(properties.plan) AS t FROM events", "target")
    case.check.check()

    assert (case.failing, lines.messages) == (set(), [])


@pytest.mark.parametrize(
    ("select", "reason"),
    [
        ("SELECT toInt32(user_id) AS n FROM events", "CANNOT_PARSE_TEXT"),
        ("SELECT throwIf(user_id = 'u', 'too late') AS n FROM events", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT _origin AS n FROM events WHERE event NOT IN (SELECT k FROM gone)", "UNKNOWN_TABLE"),
    ],
    ids=["cannot convert", "throws", "reads a table that is gone"],
)
def test_view_that_fails_is_named_with_its_error(
    case: Case, lines: pytest.LogCaptureFixture, select: str, reason: str
) -> None:
    case.client.execute("CREATE TABLE gone (k String) ENGINE = MergeTree ORDER BY k")
    case.view("healthy", "SELECT _origin AS n FROM events")
    case.view("failing", select)
    case.client.execute("DROP TABLE gone")
    case.check.check()
    case.check.check()

    assert case.failing == {"failing"}
    [line] = lines.records
    assert line.levelno == logging.ERROR
    assert f"the materialized view {case.client.database}.failing fails" in line.getMessage()
    assert reason in line.getMessage()
    case.client.execute("DROP TABLE failing")
    case.check.check()
    assert case.failing == set()
    assert lines.messages[1:] == [
        f"events: the materialized view {case.client.database}.failing works again or is gone"
    ]


def test_view_without_its_target_is_named(case: Case, lines: pytest.LogCaptureFixture) -> None:
    case.client.execute("CREATE TABLE target (n UInt64) ENGINE = MergeTree ORDER BY n")
    case.view("failing", "SELECT _origin AS n FROM events", "target")
    case.check.check()
    assert case.failing == set()

    case.client.execute("DROP TABLE target")
    case.check.check()
    assert case.failing == {"failing"}
    assert "its target table" in lines.messages[0]
    case.client.execute("CREATE TABLE target (n UInt64) ENGINE = MergeTree ORDER BY n")
    case.check.check()
    assert case.failing == set()


@pytest.mark.parametrize(
    "select",
    ["SELECT event AS n FROM events", "SELECT anonymous_id AS n FROM events"],
    ids=["text", "NULL"],
)
def test_view_whose_result_does_not_fit_its_target_is_named(case: Case, select: str) -> None:
    case.client.execute("CREATE TABLE target (n Int32) ENGINE = MergeTree ORDER BY n")
    case.view("failing", select, "target")
    case.check.check()

    assert case.failing == {"failing"}


def test_view_is_tried_over_all_rows_since_the_last_check(case: Case) -> None:
    case.view("failing", "SELECT throwIf(_origin = 7) AS n FROM events")
    case.check.check()
    assert case.failing == set()

    for first in (5, 10, 15):
        case.insert(range(first, first + 5))
    case.check.check()
    assert case.failing == {"failing"}

    case.insert(range(20, 25))
    case.check.check()
    assert case.failing == set()


def test_rows_of_each_partition_are_tried(case: Case) -> None:
    case.view("failing", "SELECT throwIf(_partition = 4 AND _origin = 2) AS n FROM events")
    case.insert(range(5, 10))
    case.insert(range(3), partition=4)
    case.insert(range(10, 15))
    case.check.check()

    assert case.failing == {"failing"}


def test_check_writes_nothing(case: Case) -> None:
    case.client.execute("CREATE TABLE target (n UInt64) ENGINE = MergeTree ORDER BY n")
    case.view("into_target", "SELECT _origin AS n FROM events", "target")
    case.check.check()

    assert case.client.query("SELECT (SELECT count() FROM target) AS t, (SELECT count() FROM events) AS e") == [
        {"t": 0, "e": 5}
    ]


def test_view_that_needs_too_long_is_tried_in_part(case: Case, lines: pytest.LogCaptureFixture) -> None:
    for first in range(5, 50, 5):
        case.insert(range(first, first + 5))
    case.view("slow", "SELECT sleepEachRow(0.6) AS n FROM events")
    began = time.monotonic()
    case.check.check()

    assert time.monotonic() - began < 10  # All of them take 30 s.
    assert (case.failing, lines.messages) == (set(), [])


def test_refreshable_view_is_not_tried(case: Case) -> None:
    case.client.execute(
        "CREATE MATERIALIZED VIEW later REFRESH EVERY 1 YEAR ENGINE = MergeTree ORDER BY n EMPTY"
        " AS SELECT throwIf(1) AS n FROM events"
    )
    case.check.check()

    assert case.failing == set()


def test_views_of_persons_are_checked(clickhouse_client: ClickHouse) -> None:
    state = SlimRecord(7, b"p/u", encode_person(fold(None, identify("i"))))
    written = Block(PERSONS, 3, person_rows([state], 1, 3)[0])
    ClickHouseSink(clickhouse_client).insert([written], valid_lease)
    case = Case(clickhouse_client)
    case.table = PERSONS
    case.unchecked.add(written)
    case.view("failing", "SELECT toInt32(user_id) AS n FROM person_states")
    case.check.check()

    assert case.failing == {"failing"}


@pytest.mark.parametrize("fault", ["nobody listens", "no permission"])
def test_check_that_cannot_read_anything_raises_nothing(
    clickhouse_settings: ClickHouseSettings, case: Case, lines: pytest.LogCaptureFixture, fault: str
) -> None:
    unreachable = replace(clickhouse_settings, url="http://127.0.0.1:1")
    refused = replace(clickhouse_settings, password="wrong")
    client = ClickHouse(unreachable if fault == "nobody listens" else refused)
    check = ViewCheck(client, case.metrics)
    check.watch(case)
    case.view("failing", "SELECT throwIf(1) AS n FROM events")
    for _ in range(3):
        check.check()
    client.close()

    assert case.failing == set()
    own = [record.getMessage() for record in lines.records if record.name == "processors.sink.views"]
    assert len(own) == (fault == "no permission")
    assert all(line.startswith("events: cannot check the materialized views: ") for line in own)
