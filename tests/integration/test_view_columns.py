"""The columns of typed views on the real engine: each has a comment, and the type that its expression has."""

from __future__ import annotations

import json
import re

import pytest

from deploy.operate import typed_views
from deploy.operate.view_declarations import parse
from processors.typed_views import columns, refresh, statements
from processors.typed_views.naming import database_name
from tests.support.records import identify, track
from tests.support.warehouse import Warehouse

PROPERTIES = {
    "count": 1,
    "price": 1.5,
    "first": True,
    "tags": ["a"],
    "items": [{"sku": "x"}],
    "day": "2026-01-31",
    "at": "2026-01-31T12:00:00Z",
    "amount": "19.99",
    "plan": "pro",
    "utm.source": "mail",
}
DECLARATIONS = """
[projects.p.events."Order Completed"]
day = "date"
at = "time"
amount = "decimal(18, 2)"
[projects.p.events_with_person]
plan = "text"
seats = "integer"
since = "date"
paid = "decimal(18, 2)"
"""


@pytest.fixture
def warehouse(warehouse: Warehouse) -> Warehouse:
    """Views of orders and of a user, in place of the empty ones."""
    warehouse.write(
        track("m1", event="Order Completed", properties=json.dumps(PROPERTIES).encode()),
        track("m2", event="Order Completed", properties=b'{"plan":7,"count":3}'),
        identify("i1", traits=b'{"plan":"pro","seats":5,"since":"2026-01-31T12:00:00Z","paid":"9.50"}'),
    )
    warehouse.made()
    return warehouse


def declare(warehouse: Warehouse) -> None:
    typed_views.apply(warehouse.client, typed_views.pending_changes(warehouse.client, parse(DECLARATIONS)))


def views(warehouse: Warehouse) -> list[str]:
    return sorted(warehouse.store.views(database_name(warehouse.base, "p")))


def converted(warehouse: Warehouse) -> list[str]:
    """Return the columns of all views that have another type than their expression."""
    found = []
    for view in views(warehouse):
        [row] = warehouse.client.query(
            "SELECT as_select FROM system.tables WHERE database = {d:String} AND name = {v:String}",
            {"d": database_name(warehouse.base, "p"), "v": view},
        )
        given = dict(warehouse.store.columns(row["as_select"]))
        types = warehouse.types(view)
        assert types.keys() == given.keys()
        found += [f"{view}.{name}" for name, kind in types.items() if given[name] != kind]
    return found


def comments(warehouse: Warehouse, view: str) -> dict[str, str]:
    return {row["name"]: row["comment"] for row in warehouse.rows(f"DESCRIBE {{}}.{view}")}


def test_every_column_of_every_view_has_a_comment(warehouse: Warehouse) -> None:
    declare(warehouse)

    assert {"events_with_person", "order_completed", "tracks", "users"} <= set(views(warehouse))
    texts = {f"{view}.{name}": text for view in views(warehouse) for name, text in comments(warehouse, view).items()}
    assert [name for name, text in texts.items() if not text] == []
    of_orders = comments(warehouse, "order_completed")
    assert of_orders["utm_source"] == (
        'properties."utm%2Esource" (sent as utm.source). Text. NULL where it was not sent.'
    )
    assert of_orders["event_text"] == "Name of the event as sent, such as Order Completed"
    assert of_orders["amount"].startswith("properties.amount. Decimal(18, 2). NULL where it")
    assert comments(warehouse, "events_with_person")["person_seats"].startswith("traits.seats of the user at the time")


def test_traits_of_events_have_their_declared_types(warehouse: Warehouse) -> None:
    declare(warehouse)

    types = warehouse.types("events_with_person")
    assert {name: types[name] for name in types if name.startswith("person_")} == {
        "person_paid": "Nullable(Decimal(18, 2))",
        "person_plan": "Nullable(String)",
        "person_seats": "Nullable(Int64)",
        "person_since": "Nullable(Date32)",
    }
    columns = "person_since AS since, person_paid * 2 AS paid, person_seats AS seats"
    rows = warehouse.rows(f"SELECT {columns} FROM {{}}.events_with_person LIMIT 1")  # noqa: S608
    assert rows == [{"since": "2026-01-31", "paid": 19, "seats": 5}]
    shown = typed_views.shown(warehouse.client, "p", "events_with_person")
    assert shown.declared == {
        "person_paid": "decimal(18, 2)",
        "person_plan": "text",
        "person_seats": "integer",
        "person_since": "date",
    }


def test_no_column_of_a_view_is_converted(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(warehouse)
    assert converted(warehouse) == []

    # The control: another type than that of the expression.
    monkeypatch.setattr(refresh, "clickhouse_type", lambda kind: columns.clickhouse_type(kind).replace("64", "32"))
    warehouse.write(track("m3", event="Signed Up", properties=b'{"count":1}'))
    warehouse.made()
    assert converted(warehouse) == ["signed_up.count"]


def test_view_is_made_again_for_a_comment_and_not_for_a_count(warehouse: Warehouse) -> None:
    def is_made_for(message_id: str, properties: bytes) -> bool:
        warehouse.write(track(message_id, event="Order Completed", properties=properties))
        warehouse.refresher.forget()
        return warehouse.made() == ["order_completed"]

    assert not is_made_for("m3", b'{"plan":"pro","price":7,"tags":["b","c"]}')
    assert is_made_for("m4", b'{"Plan":"free"}')
    assert comments(warehouse, "order_completed")["plan"].startswith("properties.plan and properties.Plan. Text.")
    assert not is_made_for("m5", b'{"Plan":"free"}')


def test_view_of_an_older_version_gets_comments_and_keeps_its_types(warehouse: Warehouse) -> None:
    select = "SELECT e.message_id AS id, e.properties.price.:Float64 AS price FROM {}.events AS e"
    database = database_name(warehouse.base, "p")
    for view in views(warehouse):
        warehouse.client.execute(
            f"CREATE OR REPLACE VIEW {database}.{view} AS {select.format(warehouse.base)}"
            f" COMMENT '{statements.MARK}0123456789abcdef'"
        )
    texts = b'{"price":"much","count":"many","first":"yes"}'
    warehouse.write(*(track(f"t{at}", event="Order Completed", properties=texts) for at in range(40)))

    warehouse.refresher.forget()
    assert sorted(warehouse.made()) == views(warehouse)
    types = warehouse.types("order_completed")
    assert [types[name] for name in ("price", "count", "first")] == [
        f"Nullable({kind})" for kind in ("Float64", "Int64", "Bool")
    ]
    assert converted(warehouse) == []
    assert comments(warehouse, "order_completed")["id"] == "messageId, unique in the project"


def test_null_keys_tell_a_removed_trait_from_one_that_was_not_sent(warehouse: Warehouse) -> None:
    warehouse.write(
        identify("i2", traits=b'{"plan":null,"traits_null_keys":"own"}'),
        identify("i3", traits=b'{"seats":7}'),
        track("m3", event="Order Completed", properties=b'{"utm.source":null,"properties_null_keys":1}'),
    )
    warehouse.made()

    identifies = (
        "SELECT plan, has(traits_null_keys, 'plan') AS removed, trait_traits_null_keys AS own FROM {}.identifies"
    )
    assert warehouse.rows(f"{identifies} ORDER BY id") == [
        {"plan": "pro", "removed": 0, "own": None},
        {"plan": None, "removed": 1, "own": "own"},
        {"plan": None, "removed": 0, "own": None},
    ]
    for view in ("tracks", "order_completed"):
        assert warehouse.rows(f"SELECT properties_null_keys AS keys FROM {{}}.{view} ORDER BY id") == [  # noqa: S608
            {"keys": []},
            {"keys": []},
            {"keys": ["utm%2Esource"]},
        ]
    assert warehouse.types("order_completed")["property_properties_null_keys"] == "Nullable(Int64)"


def test_other_types_of_a_column_in_the_project_are_shown(warehouse: Warehouse) -> None:
    warehouse.write(
        track("m3", event="Order Refunded", properties=b'{"count":"7","price":2.5,"value":1}'),
        track("m4", event="Order Cancelled", properties=b'{"count":"8","value":"x"}'),
    )
    warehouse.made()

    shown = typed_views.shown(warehouse.client, "p", "Order Completed")
    assert shown.elsewhere["count"] == {"Nullable(String)": ["order_cancelled", "order_refunded"]}
    assert shown.elsewhere["price"] == {}
    assert "event" not in shown.elsewhere
    # NULL makes no other type for a join.
    history = typed_views.shown(warehouse.client, "p", "person_history")
    assert history.elsewhere["value"] == {"Nullable(Int64)": ["order_refunded"]}
    refunded = typed_views.shown(warehouse.client, "p", "order_refunded")
    assert refunded.elsewhere["count"] == {"Nullable(Int64)": ["order_completed"]}


def test_comment_of_an_array_says_how_its_elements_are_read(warehouse: Warehouse) -> None:
    warehouse.write(track("m3", event="Order Completed", properties=b'{"tags":["b","c"],"items":[{"sku":"y"}]}'))
    warehouse.made()
    of_orders = comments(warehouse, "order_completed")

    def elements(column: str, shown: str) -> list[str]:
        [clause] = re.findall(r"Elements: (ARRAY JOIN .+)\.", of_orders[column])
        rows = warehouse.rows(f"SELECT {shown} AS shown FROM {{}}.order_completed {clause} ORDER BY shown")  # noqa: S608
        return [row["shown"] for row in rows]

    assert elements("tags", "element") == ["a", "b", "c"]
    assert elements("items", "JSONExtractString(element, 'sku')") == ["x", "y"]


def test_views_beyond_those_of_one_statement_are_made(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresh, "VIEWS_AT_ONCE", 2)
    names = ["A", "B", "C", "b", "D", "E"]
    warehouse.write(
        *(
            track(f"n{at}", event=name, properties=json.dumps({"value": at, f"of {name}": True}).encode())
            for at, name in enumerate(names)
        )
    )

    assert warehouse.made() == ["a", "b", "c", "d", "e"]
    values = {view: warehouse.rows(f"SELECT value, of_{view} AS own FROM {{}}.{view}") for view in "abcde"}  # noqa: S608
    assert [sorted(row["value"] for row in rows) for rows in values.values()] == [[0], [1, 3], [2], [4], [5]]
    assert all(row["own"] for rows in values.values() for row in rows)
    chosen = warehouse.store.types("p").chosen
    assert all(chosen[view] == {"value": "integer", f"of_{view}": "boolean"} for view in "abcde")
