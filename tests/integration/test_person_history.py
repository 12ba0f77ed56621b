"""The view person_history: the same rows for every order of arrival, which are those of the fold at each time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.clickhouse.client import ClickHouse
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, item_rows
from schemas.clickhouse import IDENTIFIES
from schemas.items import Identify
from schemas.persons import Person, fold
from tests.contracts.sinks import valid_lease
from tests.support.records import event_read

Row = tuple[str, str, str, str | None]
"""Trait, value, and the time from which and until which it applies."""
SECONDS = st.integers(0, 4)
VALUES = st.sampled_from(
    ["pro", "free", "5", "", 'a "b"\n', 5, 5.5, 0, True, False, None, [1, "a"], {"b": 1}, 2**53 + 1]
)
TRAITS = st.dictionaries(st.sampled_from(["plan", "a.b", "größe"]), VALUES, min_size=1, max_size=3)
WRITES = st.lists(st.tuples(SECONDS, TRAITS), min_size=1, max_size=4)


def identify(number: int, second: int, traits: dict[str, Any], project: str = "p") -> Identify:
    return Identify(
        project_id=project,
        message_id=f"m{number}",
        user_id="u",
        timestamp=f"2026-01-01T00:00:0{second}.000000Z",
        received_at="2026-01-01T00:00:09.000000Z",
        traits=msgspec.Raw(json.dumps(traits).encode()),
    )


def put(client: ClickHouse, items: Sequence[Identify], sources: Iterator[int]) -> list[int]:
    """Write *items* in their order; return their source offsets."""
    offsets = [next(sources) for _ in items]
    records = [event_read(at, item, source_offset=at) for at, item in zip(offsets, items, strict=True)]
    ClickHouseSink(client).insert([Block(IDENTIFIES, 0, item_rows(records, 1, 0).identifies)], valid_lease)
    return offsets


def history(client: ClickHouse, where: str) -> dict[str, list[Row]]:
    """Return the rows of each project in the order of trait and time."""
    rows = client.query(
        "SELECT project_id, trait, value, toString(valid_from) AS began, toString(valid_to) AS ended"  # noqa: S608
        f" FROM person_history WHERE {where} ORDER BY project_id, trait, began"
    )
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["project_id"], []).append((row["trait"], row["value"], row["began"], row["ended"]))
    return found


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def expected(items: Sequence[Identify]) -> list[Row]:
    """Return the history by folding what was known up to each time."""
    times = sorted({item.timestamp for item in items})
    rows: list[Row] = []
    open_rows: dict[str, tuple[str, str]] = {}
    for time in times:
        person: Person | None = None
        for item in items:
            person = fold(person, item) if item.timestamp <= time else person
        assert person is not None
        traits = {name: bytes(raw).decode() for name, raw in person.traits.items()}
        for name in [name for name, (raw, _) in open_rows.items() if traits.get(name) != raw]:
            raw, began = open_rows.pop(name)
            rows.append((name, as_text(json.loads(raw)), began, time))
        for name in traits.keys() - open_rows.keys():
            open_rows[name] = (traits[name], time)
    rows += [(name, as_text(json.loads(raw)), began, "") for name, (raw, began) in open_rows.items()]
    shown = [(name, value, _shown(began), _shown(ended) if ended else None) for name, value, began, ended in rows]
    return sorted(shown, key=lambda row: (row[0].encode(), row[2]))


def _shown(time: str) -> str:
    return time.replace("T", " ").removesuffix("Z")


@settings(max_examples=60)
@given(writes=WRITES)
def test_history_is_the_same_for_every_order_of_arrival(
    client: ClickHouse, sources: Iterator[int], writes: list[tuple[int, dict[str, Any]]]
) -> None:
    run = secrets.token_hex(4)
    projects: dict[str, list[Identify]] = {}
    for number, order in enumerate(permutations(range(len(writes)))):
        project = f"{run}-{number:02}"
        projects[project] = [identify(at, *writes[at], project) for at in order]
        # A repetition, as after a replay of rejected items.
        projects[project].append(projects[project][0])
    put(client, [item for items in projects.values() for item in items], sources)

    found = history(client, f"startsWith(project_id, '{run}')")

    for project, items in projects.items():
        assert found.get(project, []) == expected(items)


def test_late_old_value_changes_the_past_and_not_the_present(client: ClickHouse, sources: Iterator[int]) -> None:
    put(client, [identify(1, 1, {"plan": "free"}, "late"), identify(2, 5, {"plan": "pro"}, "late")], sources)
    put(client, [identify(3, 3, {"plan": "trial"}, "late")], sources)

    times = [f"2026-01-01 00:00:0{second}.000000" for second in (1, 3, 5)]
    assert history(client, "project_id = 'late'")["late"] == [
        ("plan", "free", times[0], times[1]),
        ("plan", "trial", times[1], times[2]),
        ("plan", "pro", times[2], None),
    ]


def test_null_ends_a_value_and_the_same_value_again_is_no_change(client: ClickHouse, sources: Iterator[int]) -> None:
    values = ["pro", "pro", None, "pro"]
    put(client, [identify(at, at, {"plan": value}, "null") for at, value in enumerate(values)], sources)

    times = [f"2026-01-01 00:00:0{second}.000000" for second in range(4)]
    assert history(client, "project_id = 'null'")["null"] == [
        ("plan", "pro", times[0], times[2]),
        ("plan", "pro", times[3], None),
    ]


def test_identify_that_the_persons_stage_rejected_is_left_out(client: ClickHouse, sources: Iterator[int]) -> None:
    items = [identify(1, 1, {"plan": "free"}, "big"), identify(2, 2, {"plan": "pro"}, "big")]
    _, rejected = put(client, items, sources)
    assert [row[1] for row in history(client, "project_id = 'big'")["big"]] == ["free", "pro"]

    row = {"project_id": "big", "stage": "persons", "source_topic": "items.v1", "source_offset": rejected, "_log": 1}
    times = dict.fromkeys(("received_at", "rejected_at"), "2026-01-01 00:00:00")
    client.execute("INSERT INTO rejected FORMAT JSONEachRow", json.dumps(row | times).encode())

    assert [row[1] for row in history(client, "project_id = 'big'")["big"]] == ["free"]


def test_question_about_a_user_reads_the_rows_of_the_user(client: ClickHouse) -> None:
    plan = client.query(
        "EXPLAIN indexes = 1 SELECT * FROM person_history"
        " WHERE project_id = 'late' AND user_id = 'u' AND trait = 'plan'"
    )
    text = "\n".join(row["explain"] for row in plan)

    assert "user_id in ['u', 'u']" in text
