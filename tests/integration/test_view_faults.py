"""Views that ClickHouse refuses or that are those of somebody else, and long names: the other views are made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.operate import typed_views
from processors.clickhouse.errors import ClickHouseError
from processors.engine.metrics import WorkerMetrics
from processors.typed_views import refresh, store
from processors.typed_views.columns import Seen
from processors.typed_views.keeper import ViewKeeper
from processors.typed_views.naming import database_name
from tests.support.records import track
from tests.support.warehouse import Warehouse

BAD = {f"{at:03} {'z' * 500}": at for at in range(60)}
"""Properties whose view has more text than `LIMIT`."""
LIMIT = 60_000
PROJECT_VIEWS = {"identifies", "person_history", "tracks", "users"}


def views(warehouse: Warehouse) -> set[str]:
    return set(warehouse.store.views(database_name(warehouse.base, "p")))


def test_view_that_clickhouse_refuses_does_not_keep_others_from_being_made(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = store._SETTINGS  # as statements of views have it
    monkeypatch.setattr(store, "_SETTINGS", {**settings, "max_query_size": LIMIT})
    warehouse.write(
        *(track(event, event=event, properties=b'{"a":1}') for event in ("A", "C")),
        track("b", event="B", properties=json.dumps(BAD).encode()),
    )

    with pytest.raises(ClickHouseError, match=rf"The view {warehouse.base}_p\.b cannot be made: .*Max query size"):
        warehouse.refresher.refresh()
    assert views(warehouse) == {"a", "c", *PROJECT_VIEWS}

    # It alone is tried again.
    asked: list[list[str]] = []
    seen = warehouse.store.seen

    def counted(project_id: str, kind: str, events: Iterable[str]) -> Mapping[str, list[Seen]]:
        asked.append(names := list(events))
        return seen(project_id, kind, names)

    monkeypatch.setattr(warehouse.store, "seen", counted)
    with pytest.raises(ClickHouseError):
        warehouse.refresher.refresh()
    monkeypatch.setattr(store, "_SETTINGS", settings)
    assert warehouse.made() == ["b"]
    assert warehouse.made() == []
    assert asked == [["B"], ["B"]]


def test_fault_of_all_views_is_met_a_few_times(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "MAX_FAILED", 3)
    # A database of this engine takes no view.
    warehouse.client.execute(f"CREATE DATABASE {database_name(warehouse.base, 'p')} ENGINE = Dictionary")
    warehouse.write(*(track(event, event=event, properties=b'{"a":1}') for event in "ABCD"))
    statements: list[str] = []
    create = warehouse.store.create_view

    def counted(statement: str) -> None:
        statements.append(statement)
        create(statement)

    monkeypatch.setattr(warehouse.store, "create_view", counted)

    with pytest.raises(ClickHouseError):
        warehouse.refresher.refresh()
    assert len(statements) == 3


def test_views_of_events_with_long_names_are_made(warehouse: Warehouse) -> None:
    # The most that an event can have, in the alphabet that takes most bytes, as many as one statement reads.
    names = [f"{'𐐨' * 250}{at:05}" for at in range(refresh.VIEWS_AT_ONCE)]
    spellings = [f"{'!' * at}Page{'?' * of}View" for at in range(30) for of in range(1, 30)]
    warehouse.write(*(track(name, event=name, properties=b'{"a":1}') for name in [*names, *spellings]))

    made = set(warehouse.made())
    assert len(made) == len(PROJECT_VIEWS) + len(names) + 1
    assert warehouse.rows("SELECT count(a) AS n FROM {}.page_view") == [{"n": len(spellings)}]


def test_table_that_is_a_copy_of_a_view_stays(warehouse: Warehouse) -> None:
    warehouse.write(track("m1", event="Order Completed", properties=b'{"price":1}'))
    warehouse.made()
    database = database_name(warehouse.base, "p")
    copy = f"{database}.signed_up"
    warehouse.client.execute(f"CREATE TABLE {copy} AS {database}.order_completed ENGINE = MergeTree ORDER BY id")
    warehouse.client.execute(f"INSERT INTO {copy} (id) VALUES ('mine')")  # noqa: S608
    warehouse.write(track("m2", event="Signed Up"))

    (done,) = warehouse.refresher.refresh()
    assert (done.foreign, done.made) == (["signed_up"], [])
    assert warehouse.rows("SELECT id FROM {}.signed_up") == [{"id": "mine"}]
    assert "signed_up" not in [view.name for view in typed_views.listed(warehouse.client, "p")]


def test_keeper_names_the_view_that_is_refused_and_counts_the_others(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "_SETTINGS", {**store._SETTINGS, "max_query_size": LIMIT})  # as statements have it
    database = database_name(warehouse.base, "p")
    warehouse.client.execute(f"CREATE DATABASE {database}")
    warehouse.client.execute(f"CREATE VIEW {database}.a AS SELECT 1 AS mine")
    warehouse.write(
        track("a", event="A"), track("b", event="B", properties=json.dumps(BAD).encode()), track("c", event="C")
    )
    metrics = WorkerMetrics()

    ViewKeeper(warehouse.refresher, metrics, "default").run(0.0)
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line.startswith(f"{database}.a is not a view of Sequence events")]
    assert [line for line in lines if f"{database}.b: " in line and "Max query size exceeded" in line]
    made = metrics.registry.get_sample_value("sequence_sink_typed_views_made_total")
    assert made == len(PROJECT_VIEWS) + 1


def test_shown_columns_are_one_line_each(warehouse: Warehouse, clickhouse: str) -> None:
    warehouse.write(
        track("m", event="Order Completed", properties=b'{"plan":"pro","a\\u001b[31m\\nb":1}'),
        *(track(name, event=name, properties=b'{"plan":1}') for name in "ABCDE"),
    )
    warehouse.made()
    environ = {"SEQUENCE_CLICKHOUSE_URL": clickhouse, "SEQUENCE_CLICKHOUSE_DATABASE": warehouse.base}

    shown = CliRunner().invoke(main, ["views", "show", "p", "Order Completed"], env=environ)
    heading, first, second, *_ = shown.output.splitlines()
    assert heading.split() == ["COLUMN", "TYPE", "DECLARED", "ELSEWHERE", "COMMENT"]
    assert first.split()[0] == "a_31m_b"
    assert r'properties."a\x1b[31m\nb". Integer.' in first
    assert "  Nullable(Int64) in a, b, c, and 2 more  " in second


def test_declared_type_of_a_later_version_does_not_count(warehouse: Warehouse) -> None:
    warehouse.write(track("m1", event="A", properties=b'{"shop":1,"price":2}'), track("m2", event="B"))
    warehouse.store.set_types("p", {"a": {"shop": "geography", "price": "text"}}, declared=True)

    assert {"a", "b"} <= set(warehouse.made())
    types = warehouse.types("a")
    assert (types["shop"], types["price"]) == ("Nullable(Int64)", "Nullable(String)")
