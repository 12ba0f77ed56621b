"""The pass of an erasure on the real engine: which rows leave, what is noted, and when it is proven."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator

import pytest

from processors.erasures.kafka import Left, Offsets
from processors.erasures.keeper import ErasureKeeper
from processors.erasures.store import ErasureStore
from processors.sink.insert import ClickHouseSink
from schemas.clickhouse import EVENTS
from schemas.topics import Topics
from tests.support.erasure_tables import DAY, Tables, erasure_tables

pytestmark = pytest.mark.services

TOPICS = Topics()


@pytest.fixture
def tables(clickhouse: str) -> Iterator[Tables]:
    with erasure_tables(clickhouse) as made:
        yield made


def test_rows_of_the_users_before_the_cut_leave_and_no_others(tables: Tables) -> None:
    for table in ("events", "identifies", "duplicates"):
        for origin, user in enumerate(["ada", "bob", "eve", "ada"]):
            if table == "duplicates":
                tables.insert(table, user_id=user, message_id="m", content="{}", first_origin=0, _origin=origin)
            else:
                tables.item(table, user, origin)
    tables.item("events", "ada", 10)  # after the cut
    tables.item("events", "ada", 4, project="other")
    tables.item("events", "ada", 99, log=2)
    tables.projects.erase("e1", "ada", "eve", cut=10)

    row = tables.until_status("invisible")

    assert tables.users("events") == ["bob", "ada", "ada", "ada"]
    assert tables.users("identifies") == tables.users("duplicates") == ["bob"]
    assert row["rows"] == {"events": 3, "identifies": 3, "duplicates": 3}
    assert (row["users"], row["topics_forget_at"] > row["invisible_at"]) == (2, True)


def test_range_removes_what_happened_in_it(tables: Tables) -> None:
    for hour in range(4):
        tables.item("events", "ada", hour, hour=hour)
        tables.insert(
            "duplicates", user_id="ada", message_id="m", first_origin=0, _origin=hour, received_at=DAY.format(9),
            content=json.dumps({"timestamp": f"2026-11-30T{hour:02}:00:00.000000Z"}),
        )  # fmt: skip
    start = 1_795_996_800_000_000  # 2026-11-30 00:00 in UTC
    hour_us = 3_600_000_000
    tables.projects.erase("e1", "ada", since=start + hour_us, until=start + 3 * hour_us)
    tables.until_status("invisible")

    for table in ("events", "duplicates"):
        assert tables.origins(table) == [0, 3]


def test_rejections_leave_by_any_user_id_of_their_content(tables: Tables) -> None:
    contents = [
        ("", '{"userId": "ada", "event": ""'),
        ("ada", "{}"),
        ("", '{"userId": 42, '),
        ("", '{"userId": "bob"'),
        ("", '{"text": "ada"}'),
    ]
    for origin, (user, content) in enumerate(contents):
        tables.insert("rejected", user_id=user, content=content, _origin=origin, stage="gateway")
    encoded = base64.b64encode(b'\xff{"userId": "ada"}').decode()
    tables.insert("rejected", content=encoded, is_base64=True, _origin=8, stage="gateway")
    # Rejected by a worker after the request: the item itself is before the cut, or after it.
    for origin, source in ((2000, 999), (2001, 1000)):
        tables.insert(
            "rejected", user_id="ada", _origin=origin, stage="dedupe", source_topic="items.v1", source_offset=source
        )
    tables.projects.erase("e1", "ada", "42")
    tables.until_status("invisible")

    assert tables.origins("rejected") == [3, 4, 2001]


def test_states_of_persons_leave_that_know_nothing_of_the_erasure(tables: Tables) -> None:
    asked = tables.projects.erase("e1", "ada").requested_at
    for origin, (user, erased) in enumerate([("ada", 0), ("bob", 0), ("ada", asked - 1), ("ada", asked)]):
        tables.insert("person_states", user_id=user, _origin=origin, _erased=erased)
    tables.until_status("invisible")

    assert tables.users("person_states") == ["bob", "ada"]


def test_range_keeps_the_newest_state_until_it_is_written_again(tables: Tables) -> None:
    asked = tables.projects.erase("e1", "ada", since=0).requested_at
    for origin in range(3):
        tables.insert("person_states", user_id="ada", _origin=origin)
    tables.until_status("invisible")
    assert tables.origins("person_states") == [2]

    tables.insert("person_states", user_id="ada", _origin=3, _erased=asked)
    tables.keeper.forget()
    tables.client.execute("TRUNCATE TABLE erasures")
    tables.until_status("invisible")
    assert tables.origins("person_states") == [3]


def test_position_of_a_row_that_leaves_stays(tables: Tables) -> None:
    for origin, user in enumerate(["bob", "ada", "ada"]):
        tables.item("events", user, origin)
    sink = ClickHouseSink(tables.client)
    tables.projects.erase("e1", "ada")
    tables.until_status("invisible")
    assert sink.positions(EVENTS, 1, [0]) == {0: 2}

    # The row below leaves as well: the position that was noted is noted once more.
    tables.projects.erase("e2", "bob")
    tables.until(lambda: tables.users("events") == [], "no rows")
    assert sink.positions(EVENTS, 1, [0]) == {0: 2}
    tables.client.execute("OPTIMIZE TABLE _positions FINAL")
    assert sink.positions(EVENTS, 1, [0]) == {0: 2}


def test_noted_position_does_not_hide_the_loss_of_other_rows(tables: Tables) -> None:
    for origin, user in enumerate(["bob", "ada"]):
        tables.item("events", user, origin)
    tables.projects.erase("e1", "ada")
    tables.until_status("invisible")
    tables.client.execute("TRUNCATE TABLE events")

    assert ClickHouseSink(tables.client).positions(EVENTS, 1, [0]) == {}


def test_rows_on_their_way_leave_before_the_erasure_is_invisible(tables: Tables) -> None:
    tables.item("events", "ada", 0)
    tables.projects.erase("e1", "ada", identifies=(1,))
    ends = {(topic, 0): 5 for topic in (TOPICS.events, TOPICS.duplicates, TOPICS.rejected, TOPICS.identifies)}
    tables.kafka.now = Offsets({("dedupe", TOPICS.items, 0): 999}, {}, ends)
    tables.until(lambda: tables.users("events") == [], "the row is gone")
    assert (tables.row()["status"], tables.row()["waits_for"]) == (
        "removing",
        "the worker dedupe, which reads items.v1",
    )

    tables.item("events", "ada", 7)
    done = {
        ("dedupe", TOPICS.items, 0): 1000,
        ("persons", TOPICS.identifies, 0): 5,
        **{("sink", topic, 0): 5 for topic in (TOPICS.events, TOPICS.duplicates, TOPICS.rejected)},
    }
    tables.kafka.now = Offsets(done, {}, ends)
    tables.until_status("invisible")
    assert tables.users("events") == []


def test_erasure_is_proven_once_no_file_and_no_record_is_left(tables: Tables) -> None:
    for origin, user in enumerate(["ada", "bob"]):
        tables.item("events", user, origin)
    tables.projects.erase("e1", "ada")
    tables.kafka.on_persons = {"e1": Left(1, 2)}
    later = itertools.count(2000)

    def waits_for_kafka() -> bool:
        # An INSERT lets ClickHouse remove old parts at once.
        tables.item("events", "bob", next(later))
        return "1 states and 2 tombstones" in tables.row()["waits_for"]

    tables.until(waits_for_kafka, "Kafka compacts", within_seconds=60)
    assert tables.row()["status"] == "invisible"
    assert tables.masked_parts() == 0

    tables.kafka.on_persons = {}
    tables.keeper._next_search = 0.0  # the pause between two searches
    row = tables.until_status("proven")
    assert (row["waits_for"], row["proven_at"] >= row["invisible_at"]) == ("", True)
    searched = tables.kafka.searches
    tables.keeper.look()
    assert tables.kafka.searches == searched


def test_erasure_of_another_kafka_removes_nothing(tables: Tables) -> None:
    tables.item("events", "ada", 0)
    tables.projects.erase("e1", "ada", cluster_id="another")
    tables.keeper.look()

    assert tables.users("events") == ["ada"]
    assert "Request it again" in tables.row()["waits_for"]


def test_no_digest_and_no_user_id_is_in_the_command_of_a_mutation(tables: Tables) -> None:
    tables.item("events", "ada", 0)
    erasure = tables.projects.erase("e1", "ada")
    tables.until_status("invisible")

    commands = [row["command"] for row in tables.client.query("SELECT command FROM system.mutations")]
    assert any("e1" in command for command in commands)
    for secret in ("ada", erasure.users[0].hex()):
        assert not any(secret.lower() in command.lower() for command in commands)


def test_position_sinks_with_the_row_if_it_is_not_noted(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the sink would read the row again, or miss what Kafka has no more."""
    monkeypatch.setattr(ErasureStore, "_note_positions", lambda *_: None)
    for origin, user in enumerate(["bob", "ada"]):
        tables.item("events", user, origin)
    tables.projects.erase("e1", "ada")
    tables.until_status("invisible")

    assert ClickHouseSink(tables.client).positions(EVENTS, 1, [0]) == {0: 0}


def test_deleted_rows_stay_in_files_if_no_mask_is_applied(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a lightweight DELETE hides rows alone."""
    monkeypatch.setattr(ErasureStore, "apply_masks", lambda _: [])
    for origin, user in enumerate(["bob", "ada"]):
        tables.item("events", user, origin)
    tables.client.execute("OPTIMIZE TABLE events FINAL")
    tables.projects.erase("e1", "ada")
    tables.until_status("invisible")

    assert tables.users("events") == ["bob"]
    assert tables.masked_parts() == 1


def test_rows_on_their_way_stay_if_no_worker_is_waited_for(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of `test_rows_on_their_way_leave_before_the_erasure_is_invisible`."""
    monkeypatch.setattr(ErasureKeeper, "_flow", lambda *_: "")
    tables.projects.erase("e1", "ada")
    tables.until_status("invisible")
    tables.item("events", "ada", 7)
    tables.keeper.look()

    assert tables.users("events") == ["ada"]
