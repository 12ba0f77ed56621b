"""The view person_history of a project: the rows of the project, and of those no more read than a question needs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from msgspec import structs

from deploy.operate import typed_views
from deploy.operate.view_declarations import parse
from processors.typed_views import statements
from processors.typed_views.naming import database_name
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.records import identify, track
from tests.support.warehouse import Warehouse

USERS = 50_000
MOST_ROWS = 2 * 8_192
"""Two granules of the table."""
COLUMNS = "user_id, trait, value, valid_from, valid_to"


@pytest.fixture(scope="module")
def warehouse(clickhouse: str) -> Iterator[Warehouse]:
    made = Warehouse(clickhouse)
    made.write(
        identify("i1", traits=b'{"plan":"free","seats":5}'),
        structs.replace(identify("i2", traits=b'{"plan":"pro"}'), timestamp="2026-02-01T00:00:00.000000Z"),
        structs.replace(identify("i3", traits=b'{"plan":null}'), timestamp="2026-03-01T00:00:00.000000Z"),
        identify("o1", traits=b'{"plan":"secret"}', project_id="other"),
        track("m1", event="Person History", properties=b'{"page":1}'),
    )
    made.made()
    yield made
    made.drop()


def test_view_has_the_rows_of_its_project(warehouse: Warehouse) -> None:
    for project in ("p", "other"):
        of_all = warehouse.client.query(
            f"SELECT {COLUMNS} FROM person_history WHERE project_id = '{project}' ORDER BY ALL"  # noqa: S608
        )
        assert warehouse.rows(f"SELECT {COLUMNS} FROM {{}}.person_history ORDER BY ALL", project) == of_all  # noqa: S608
        assert len(of_all) == {"p": 3, "other": 1}[project]


def test_columns_are_those_of_the_view_beside_the_tables(warehouse: Warehouse) -> None:
    def columns(view: str) -> dict[str, str]:
        return {row["name"]: row["type"] for row in warehouse.rows(f"DESCRIBE {view}")}

    of_all = columns(f"{warehouse.base}.person_history")
    assert columns("{}.person_history") == {name: of_all[name] for name in of_all if name != "project_id"}


def test_question_about_a_user_reads_the_identifies_of_the_user(warehouse: Warehouse, clickhouse: str) -> None:
    warehouse.client.execute(
        "INSERT INTO identifies (project_id, user_id, message_id, timestamp, traits, received_at)"  # noqa: S608
        " SELECT 'p', concat('user', toString(number)), toString(number), now64(6), '{\"plan\":\"pro\"}', now64(6)"
        f" FROM numbers({USERS})"
    )
    warehouse.client.execute("OPTIMIZE TABLE identifies FINAL")

    def read(condition: str) -> int:
        view = f"{database_name(warehouse.base, 'p')}.person_history"
        answer = ClickHouseHttp(clickhouse).query(f"SELECT count() FROM {view} WHERE {condition} FORMAT JSON")  # noqa: S608
        return int(json.loads(answer)["statistics"]["rows_read"])

    assert read("user_id = 'user7' AND trait = 'plan'") <= MOST_ROWS
    assert read("trait = 'plan' AND user_id = 'nobody'") <= MOST_ROWS
    # The control: a condition that depends on more than one identify.
    assert read("value = 'free'") >= USERS


def test_event_of_this_name_has_another_view_and_keeps_the_types_of_its_columns(warehouse: Warehouse) -> None:
    assert warehouse.rows("SELECT page, event FROM {}.event_person_history") == [
        {"page": 1, "event": "event_person_history"}
    ]

    # As an older version left it: a view of the event, with a type that was chosen and one that was declared.
    project = "older"
    store, database = warehouse.store, database_name(warehouse.base, project)
    store.create_database(database)
    store.set_types(project, {"person_history": {"page": "float"}}, declared=False)
    store.set_types(project, {"person_history": {"day": "date"}}, declared=True)
    statement = f"CREATE VIEW {database}.person_history AS SELECT 1 AS page COMMENT '{statements.MARK}0'"
    warehouse.client.execute(statement)
    texts = b'{"page":"many","day":"2026-01-01"}'
    warehouse.write(
        *(track(f"t{at}", event="Person History", properties=texts, project_id=project) for at in range(40))
    )
    assert {"person_history", "event_person_history"} <= set(warehouse.made())

    assert "trait" in warehouse.types("person_history", project)
    types = warehouse.types("event_person_history", project)
    assert (types["page"], types["day"]) == ("Nullable(Float64)", "Nullable(Date32)")
    declared = parse('[projects.older.events."Person History"]\nday = "date"')
    assert typed_views.pending_changes(warehouse.client, declared) == {project: []}


def test_events_that_share_the_view_of_this_name_keep_the_types_of_their_columns(warehouse: Warehouse) -> None:
    project = "shared"
    store = warehouse.store
    # As an older version left them, with a view for each.
    store.set_types(project, {"event_person_history": {"page": "float", "size": "boolean"}}, declared=False)
    store.set_types(project, {"event_person_history": {"day": "date", "end": "date"}}, declared=True)
    store.set_types(project, {"person_history": {"size": "integer"}}, declared=False)
    texts = b'{"page":"many","size":"large","day":"2026-01-01","end":"2026-01-01"}'
    names = ["Event Person History", "Person History"]
    warehouse.write(
        *(track(f"{name} {at}", event=name, properties=texts, project_id=project) for name in names for at in range(9))
    )
    warehouse.made()

    def types() -> list[str]:
        found = warehouse.types("event_person_history", project)
        return [found[name].removeprefix("Nullable(").removesuffix(")") for name in ("page", "size", "day", "end")]

    assert types() == ["Float64", "Int64", "Date32", "Date32"]
    declared = parse('[projects.shared.events."Event Person History"]\nday = "date"')
    pending = typed_views.pending_changes(warehouse.client, declared)
    assert [change.column for change in pending[project]] == ["end"]
    typed_views.apply(warehouse.client, pending)
    assert typed_views.pending_changes(warehouse.client, declared) == {project: []}
    assert types() == ["Float64", "Int64", "Date32", "String"]
    shown = typed_views.shown(warehouse.client, project, "Event Person History")
    assert shown.declared == {"day": "date"}
    assert typed_views.shown(warehouse.client, project, "person_history").declared == {}
