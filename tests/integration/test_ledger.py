"""The view `ledger` on the real engine: each stage's numbers from rows, by project and minute."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from processors.clickhouse.client import ClickHouse
from tests.support import databases, services

ROWS = {
    "events": ("shop", range(5)),
    "identifies": ("shop", range(5, 8)),
    "duplicates": ("shop", range(8, 10)),
}
REJECTED = [
    # stage, table, source topic, source offset
    ("gateway", "", "rejected.v1", 0),
    ("gateway", "", "rejected.v1", 1),
    ("dedupe", "", "items.v1", 10),
    ("dedupe", "", "items.v1", 10),
    ("persons", "", "items.v1", 5),
    ("sink", "events", "items.v1", 11),
    ("sink", "", "events.v1", 3),
    ("sink", "duplicates", "items.v1", 12),
    ("sink", "person_states", "persons.v1", 7),
    ("sink", "", "rejected.v1", 8),
]


@pytest.fixture(scope="module")
def client(clickhouse: str) -> Iterator[ClickHouse]:
    """A database with rows, all of one minute but for a repeated rejection."""
    settings = services.clickhouse_settings(clickhouse, f"test_{secrets.token_hex(4)}")
    databases.create(settings)
    made = ClickHouse(settings)
    for table, (project, offsets) in ROWS.items():
        times = "received_at, timestamp" if table != "duplicates" else "received_at"
        values = ", ".join(["'2026-01-01 00:00:30'"] * (1 + times.count(",")))
        made.execute(
            f"INSERT INTO {table} (project_id, user_id, message_id, {times}, _log, _origin)"  # noqa: S608  # the test's own
            f" SELECT '{project}', 'u', toString(number), {values}, 1, {offsets.start} + number"
            f" FROM numbers({len(offsets)})"
        )
    for number, (stage, table, topic, offset) in enumerate(REJECTED):
        made.execute(
            "INSERT INTO rejected (project_id, stage, table_name, source_topic, source_offset, received_at, _log,"  # noqa: S608
            f" _origin) VALUES ('shop', '{stage}', '{table}', '{topic}', {offset},"
            f" '2026-01-01 00:0{number // 3}:00', 1, {number})"
        )
    yield made
    made.execute(f"DROP DATABASE {settings.database}")
    made.close()


def test_what_a_stage_receives_is_what_the_stage_before_it_accepts(client: ClickHouse) -> None:
    rows = client.query(
        "SELECT stage, sum(received) AS r, sum(accepted) AS a, sum(duplicates) AS d, sum(rejected) AS x"
        " FROM ledger WHERE project_id = 'shop' GROUP BY stage ORDER BY stage"
    )
    found = {row["stage"]: tuple(int(row[name]) for name in "radx") for row in rows}

    assert found == {
        "dedupe": (14, 10, 3, 1),
        "gateway": (16, 14, 0, 2),
        "persons": (3, 2, 0, 1),
        "sink": (10, 8, 0, 2),
    }


def test_items_are_counted_in_the_minute_of_their_receipt(client: ClickHouse) -> None:
    rows = client.query("SELECT toMinute(minute) AS m, received FROM ledger WHERE stage = 'dedupe' ORDER BY m")

    assert [(int(row["m"]), int(row["received"])) for row in rows] == [(0, 11), (1, 1), (2, 2)]


def test_project_without_items_has_no_lines(client: ClickHouse) -> None:
    assert client.query("SELECT 1 FROM ledger WHERE project_id = 'other'") == []
