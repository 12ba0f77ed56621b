"""events_with_person: each event has the traits that the fold has at the time of the event, in any order of arrival."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.clickhouse.client import ClickHouse
from processors.sink.insert import ClickHouseSink
from processors.sink.rows import Block, item_rows
from processors.typed_views.columns import Column
from processors.typed_views.person_traits import MAX_TRAITS, events_with_person
from schemas.clickhouse import EVENTS
from schemas.items import Identify, Track
from schemas.persons import Person, fold
from schemas.settings import ClickHouseSettings
from tests.contracts.sinks import valid_lease
from tests.integration.test_person_history import as_text, identify, put
from tests.support import databases, services
from tests.support.records import event_read

COLUMNS = [
    Column("plan", "text", ["plan"]),
    Column("seats", "float", ["seats"]),
    Column("it_s", "text", ["it's %2E `x`"]),
]
VALUES = st.sampled_from(["pro", "free", "7", 7, 2.5, None, True, [1]])
WRITES = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.dictionaries(st.sampled_from(["plan", "seats", "it's . `x`", "other"]), VALUES, min_size=1, max_size=3),
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def database(clickhouse: str) -> ClickHouseSettings:
    made = services.clickhouse_settings(clickhouse, f"test_{secrets.token_hex(4)}")
    databases.create(made)
    return made


@pytest.fixture(scope="module")
def client(database: ClickHouseSettings) -> Iterator[ClickHouse]:
    client = ClickHouse(database)
    yield client
    client.execute(f"DROP DATABASE {database.database}")
    client.close()


def track(second: int, project: str) -> Track:
    return Track(
        project_id=project,
        message_id=f"t{second}",
        user_id="u",
        event="Ordered",
        timestamp=f"2026-01-01T00:00:0{second}.000000Z",
        received_at="2026-01-01T00:00:09.000000Z",
        properties=msgspec.Raw(b"{}"),
    )


def known_at(items: list[Identify], time: str) -> dict[str, Any]:
    person: Person | None = None
    for item in items:
        person = fold(person, item) if item.timestamp <= time else person
    return {} if person is None else {name: json.loads(bytes(raw)) for name, raw in person.traits.items()}


def number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


@settings(max_examples=40)
@given(writes=WRITES, seed=st.randoms())
def test_event_has_the_traits_of_its_time(
    client: ClickHouse, database: ClickHouseSettings, sources: Iterator[int], writes: list[tuple[int, Any]], seed: Any
) -> None:
    project = f"it's-{secrets.token_hex(4)}"
    items = [identify(number, second, traits, project) for number, (second, traits) in enumerate(writes)]
    arrived = seed.sample(items, len(items))
    if items:
        put(client, arrived, sources)
    tracks = [track(second, project) for second in range(6)]
    records = [event_read(at, item, source_offset=at) for item in tracks for at in [next(sources)]]
    ClickHouseSink(client).insert([Block(EVENTS, 0, item_rows(records, 1, 0).events)], valid_lease)

    select = events_with_person(database.database, project, COLUMNS)
    rows = client.query(
        f"SELECT id, event_text, person_plan, person_seats, person_it_s FROM ({select}) ORDER BY id"  # noqa: S608
    )

    assert [row["id"] for row in rows] == [item.message_id for item in tracks]
    for row, item in zip(rows, tracks, strict=True):
        traits = known_at(items, item.timestamp)
        plan, its = traits.get("plan"), traits.get("it's . `x`")
        assert row["person_plan"] == (None if plan is None else as_text(plan))
        assert row["person_it_s"] == (None if its is None else as_text(its))
        assert row["person_seats"] == number(traits.get("seats"))


@pytest.mark.parametrize("count", [0, MAX_TRAITS + 1])
def test_number_of_traits_is_limited(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} traits, but events_with_person has 1 to 20"):
        events_with_person("sequence", "dev", [Column(f"t{at}", "text", [f"t{at}"]) for at in range(count)])


def test_twenty_traits_are_one_join(database: ClickHouseSettings, client: ClickHouse) -> None:
    columns = [Column(f"t{at}", "text", [f"t{at}"]) for at in range(MAX_TRAITS)]
    client.execute(f"CREATE OR REPLACE VIEW v AS {events_with_person(database.database, 'none', columns)}")

    assert client.query("SELECT count() AS n FROM v") == [{"n": 0}]
    assert events_with_person(database.database, "none", columns).count("JOIN") == 1
