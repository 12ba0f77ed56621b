"""Persons as the console shows them, on the real engine."""

from __future__ import annotations

import time

import pytest

from deploy.console import persons
from deploy.console.errors import ParameterError, UnknownError
from deploy.console.search_sql import Window
from deploy.console.tables import LimitedClickHouse
from tests.support.console_rows import SECOND, Rows, add_one_of_each, at, times

NOW = time.time_ns() // 1000
WHOLE = Window(0, NOW + 3600 * SECOND)


def test_person_has_the_write_of_each_trait(rows: Rows, tables: LimitedClickHouse) -> None:
    day = NOW - 86_400 * SECOND
    rows.add(
        "identifies",
        [
            {
                **times(day),
                "message_id": "i1",
                "traits": {"plan": "free", "city": "Rome", "phone": "1", "utm.source": "a"},
            },
            {**times(day + SECOND), "message_id": "i2" * 40, "traits": {"plan": "pro"}, "traits_null_keys": ["phone"]},
            {**times(day - SECOND), "message_id": "i0", "traits": {"plan": "late", "age": 3}},
        ],
    )
    add_one_of_each(rows, NOW - SECOND, "of another user")
    found = persons.find(tables, ["dev"], "ada", WHOLE)

    shown = {trait.name: (bytes(trait.value), trait.message_id) for trait in found.traits}
    assert shown == {
        "age": (b"3", "i0"),
        "city": (b'"Rome"', "i1"),
        "plan": (b'"pro"', "i2" * 40),
        "utm.source": (b'"a"', "i1"),
        "n": (b"1", "iof another user"),
    }
    assert [each.name for each in found.removed] == ["phone", "x"]
    assert (found.is_complete, found.first_seen < found.last_seen) == (True, True)
    assert [item.message_id for item in found.events][:1] == ["iof another user"]
    assert {item.user_id for item in found.events} == {"ada"}
    with pytest.raises(UnknownError, match="No identify of user 'nobody' is in ClickHouse"):
        persons.find(tables, ["dev"], "nobody", WHOLE)


def test_trait_that_no_recent_identify_has_is_shown_without_its_write(rows: Rows, tables: LimitedClickHouse) -> None:
    rows.add("identifies", [{**times(NOW - 100 * SECOND), "message_id": "old", "traits": {"old": 1}}])
    rows.add(
        "identifies",
        [{**times(NOW - 50 * SECOND + number), "traits": {"n": number}} for number in range(persons.IDENTIFIES)],
    )
    state = {
        "project_id": "dev",
        "user_id": "ada",
        "traits": {"old": 1, "n": 0},
        "_log": 1,
        "_partition": 0,
        "_origin": 1,
    }
    seen = {"first_seen": at(NOW - 100 * SECOND)["received_at"], "last_seen": at(NOW)["received_at"]}
    rows.insert("person_states", [{**state, **seen}])
    found = persons.find(tables, ["dev"], "ada", WHOLE)

    assert not found.is_complete
    assert "newest 1000 identifies" in (found.message or "")
    assert {trait.name: (bytes(trait.value), trait.set_at is None) for trait in found.traits} == {
        "old": (b"1", True),
        "n": (b"999", False),
    }
    assert found.first_seen == at(NOW - 100 * SECOND)["received_at"].replace(" ", "T") + "Z"


def test_user_of_several_projects_has_to_be_named_with_one(rows: Rows, tables: LimitedClickHouse) -> None:
    for project in ("dev", "other"):
        state: dict[str, object] = {
            "project_id": project,
            "user_id": "ada",
            "traits": {},
            "_log": 1,
            "_partition": 0,
            "_origin": 1,
        }
        seen = {"first_seen": at(NOW)["received_at"], "last_seen": at(NOW)["received_at"]}
        rows.insert("person_states", [{**state, **seen}])

    assert persons.find(tables, ["dev", "third"], "ada", WHOLE).project_id == "dev"
    with pytest.raises(ParameterError, match="several projects have this user: dev, other"):
        persons.find(tables, ["dev", "other", "third"], "ada", WHOLE)
