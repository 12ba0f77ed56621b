"""Typed views on the real engine: made from the catalogue, and the same values as the raw tables."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from deploy.errors import ArgumentError
from deploy.operate import typed_views
from deploy.operate.view_declarations import parse
from processors.clickhouse.errors import ClickHouseError
from processors.typed_views import statements
from processors.typed_views.naming import database_name, snake_case, view_name
from schemas.clickhouse.quoting import literal, quoted
from schemas.items import Track
from tests.support.records import identify, track
from tests.support.warehouse import Warehouse


def order(message_id: str, properties: object, project: str = "p") -> Track:
    made = track(message_id, event="Order Completed", properties=json.dumps(properties).encode())
    return structs.replace(made, project_id=project)


def test_views_of_a_project_have_segments_names_and_types(warehouse: Warehouse) -> None:
    warehouse.write(
        order("m1", {"price": 42.5, "quantity": 2, "plan": "pro", "paid": True, "address": {"city": "Bern"}}),
        order("m2", {"price": 7, "quantity": 1, "tags": ["a", "b"], "Order ID": "o-1", "utm.source": "x"}),
        track("m3", event="Signed Up"),
        identify("i1", traits=b'{"plan":"pro","age":42}'),
    )

    assert sorted(warehouse.made()) == [
        *("identifies", "order_completed", "person_history", "signed_up", "tracks", "users")
    ]
    types = warehouse.types("order_completed")
    typed = {name: types[name] for name in types if name not in statements.EVENT_COLUMNS}
    assert typed == {
        "address_city": "Nullable(String)",
        "order_id": "Nullable(String)",
        "paid": "Nullable(Bool)",
        "plan": "Nullable(String)",
        "price": "Nullable(Float64)",
        "quantity": "Nullable(Int64)",
        "tags": "Nullable(String)",
        "utm_source": "Nullable(String)",
    }
    named = {"event": "order_completed", "event_text": "Order Completed"}
    columns = "id, event, event_text, price, quantity, plan, paid, address_city, tags, order_id, utm_source"
    first, second = warehouse.rows(f"SELECT {columns} FROM {{}}.order_completed ORDER BY id")  # noqa: S608
    assert first | named == first
    assert second | named == second
    assert [first[name] for name in typed] == ["Bern", None, True, "pro", 42.5, 2, None, None]
    assert [second[name] for name in typed] == [None, "o-1", None, None, 7, 1, '["a","b"]', "x"]
    assert warehouse.rows("SELECT event, count() AS n FROM {}.tracks GROUP BY event ORDER BY n DESC") == [
        {"event": "order_completed", "n": 2},
        {"event": "signed_up", "n": 1},
    ]
    assert warehouse.rows("SELECT user_id, plan, age FROM {}.identifies") == [
        {"user_id": "u", "plan": "pro", "age": 42}
    ]
    assert warehouse.types("users")["age"] == "Nullable(Int64)"


def test_columns_of_properties_and_traits_are_shown_first(warehouse: Warehouse) -> None:
    warehouse.write(order("m1", {"price": 1, "coupon": "x"}), identify("i1", traits=b'{"plan":"pro","properties":1}'))
    warehouse.made()

    def names(view: str) -> list[str]:
        return [name for name, *_ in typed_views.shown(warehouse.client, "p", view).columns]

    assert names("Order Completed")[:4] == ["coupon", "price", "id", "received_at"]
    assert names("identifies")[:3] == ["plan", "properties", "id"]
    assert names("users") == ["plan", "properties", "id", "first_seen", "last_seen", "traits"]
    assert names("tracks")[0] == "id"


def test_only_changed_views_are_made_again(warehouse: Warehouse) -> None:
    warehouse.write(order("m1", {"price": 1}), track("m2", event="Signed Up"))
    warehouse.made()
    assert warehouse.made() == []
    warehouse.write(order("m3", {"price": 2}), track("m4", event="Signed Up"))
    assert warehouse.made() == []
    warehouse.write(order("m5", {"price": 2.5}))
    assert warehouse.made() == ["order_completed"]
    warehouse.write(track("m6", event="signedUp"))
    assert warehouse.made() == ["signed_up"]
    assert warehouse.rows("SELECT count() AS n FROM {}.signed_up") == [{"n": 3}]

    # Another worker compares everything, and finds everything made.
    warehouse.refresher.forget()
    assert warehouse.made() == []


def test_type_of_a_column_stays_and_other_values_are_null_there(warehouse: Warehouse) -> None:
    warehouse.write(order("m1", {"price": 1}))
    warehouse.made()
    warehouse.write(*(order(f"t{number}", {"price": "much"}) for number in range(20)))
    warehouse.made()
    assert warehouse.types("order_completed")["price"] == "Nullable(Int64)"
    assert warehouse.rows("SELECT sum(price) AS total, count() AS n FROM {}.order_completed") == [{"total": 1, "n": 21}]
    assert warehouse.rows("SELECT count() AS n FROM {}.order_completed WHERE properties.price::String = 'much'") == [
        {"n": 20}
    ]
    warehouse.write(order("m2", {"price": 1.5}), order("m3", {"price": "2"}))
    warehouse.made()
    assert warehouse.rows("SELECT sum(price) AS total FROM {}.order_completed") == [{"total": 4.5}]


def test_data_of_one_project_is_in_no_view_of_another(warehouse: Warehouse) -> None:
    projects = ["shop", "Shop", "my-shop", "my_shop"]
    for number, project in enumerate(projects):
        warehouse.write(order(f"m{number}", {"price": number}, project))
    warehouse.made()
    for number, project in enumerate(projects):
        for view in ("order_completed", "tracks"):
            assert warehouse.rows(f"SELECT id FROM {{}}.{view}", project) == [{"id": f"m{number}"}]  # noqa: S608


def test_view_of_somebody_else_stays(warehouse: Warehouse) -> None:
    database = database_name(warehouse.base, "p")
    warehouse.client.execute(f"CREATE DATABASE {database}")
    warehouse.client.execute(f"CREATE VIEW {database}.order_completed AS SELECT 1 AS mine")
    warehouse.write(order("m1", {"price": 1}))

    (done,) = warehouse.refresher.refresh()
    assert (done.foreign, sorted(done.made)) == (
        ["order_completed"],
        ["identifies", "person_history", "tracks", "users"],
    )
    assert warehouse.rows("SELECT mine FROM {}.order_completed") == [{"mine": 1}]


def test_project_that_fails_does_not_keep_others_from_their_views(warehouse: Warehouse) -> None:
    # A database of this engine takes no view.
    warehouse.client.execute(f"CREATE DATABASE {database_name(warehouse.base, 'a')} ENGINE = Dictionary")
    for project in ("a", "b"):
        warehouse.write(order(project, {"price": 1}, project))
    with pytest.raises(ClickHouseError):
        warehouse.refresher.refresh()
    assert warehouse.rows("SELECT id FROM {}.order_completed", "b") == [{"id": "b"}]


_NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(
    [
        "select",
        "from",
        "`",
        "\\",
        "'",
        '"',
        "a.b",
        "%2E",
        "null",
        "x\ty",
        "注文",
        "🎉",
        "{x:String}",
        "--",
        "/*",
        "a" * 255,
    ]
)


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(event=_NAMES, names=st.lists(_NAMES, min_size=1, max_size=4, unique_by=snake_case))
def test_any_name_is_readable(warehouse: Warehouse, event: str, names: list[str]) -> None:
    message_id = secrets.token_hex(8)
    properties = {name: f"value {at}" for at, name in enumerate(names)}
    warehouse.write(track(message_id, event=event, properties=json.dumps(properties).encode()))
    warehouse.made()
    (row,) = warehouse.rows(
        f"SELECT * EXCEPT properties FROM {{}}.{quoted(view_name(event))} WHERE id = '{message_id}'"  # noqa: S608
    )
    assert row["event_text"] == event
    missing = [value for name, value in properties.items() if all(name.split(".")) and value not in row.values()]
    assert missing == []


_ASSIGNED = st.characters(exclude_categories=("Cn", "Cs"))
"""ClickHouse knows letters that a Python of an earlier Unicode version does not."""


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@example(name="²nd")
@example(name="Person History")
@example(name="eventTracks")
@example(name="!")
@given(name=st.text(_ASSIGNED, max_size=12) | st.text("aA1_ -é", max_size=12))
def test_event_of_tracks_is_the_name_of_its_view(warehouse: Warehouse, name: str) -> None:
    [row] = warehouse.client.query(f"SELECT {statements.view_of(literal(name))} AS name")
    assert row["name"] == view_name(name)


def test_declared_types_count_before_the_chosen_ones(warehouse: Warehouse) -> None:
    warehouse.write(
        order("m1", {"price": 19.99, "day": "2026-01-31", "at": "2026-01-31T12:00:00Z", "count": "7", "ok": "true"}),
        order("m2", {"price": "5.10", "day": 7, "at": "soon", "count": 8, "ok": False}),
    )
    warehouse.made()
    text = """
        [projects.p.events."Order Completed"]
        price = "decimal(18, 2)"
        day = "date"
        at = "time"
        count = "integer"
        ok = "boolean"
        coupon = "text"
    """
    pending = typed_views.pending_changes(warehouse.client, parse(text))
    assert len(pending["p"]) == 6
    (done,) = typed_views.apply(warehouse.client, pending)
    assert done.made == ["order_completed"]
    assert typed_views.pending_changes(warehouse.client, parse(text)) == {"p": []}
    mistaken = parse('[projects.p.events."Ordr Completed"]\nprice = "float"\n[projects.p.traits]\na = "text"')
    pending = typed_views.pending_changes(warehouse.client, mistaken)
    assert typed_views.unseen_views(warehouse.client, pending) == [("p", "ordr_completed")]

    types = warehouse.types("order_completed")
    assert {name: types[name] for name in ("price", "day", "at", "count", "ok")} == {
        "price": "Nullable(Decimal(18, 2))",
        "day": "Nullable(Date32)",
        "at": "Nullable(DateTime64(6, 'UTC'))",
        "count": "Nullable(Int64)",
        "ok": "Nullable(Bool)",
    }
    rows = warehouse.rows("SELECT toString(price) AS price, day, at, count, ok FROM {}.order_completed ORDER BY id")
    assert rows == [
        {"price": "19.99", "day": "2026-01-31", "at": "2026-01-31 12:00:00.000000", "count": 7, "ok": True},
        {"price": "5.1", "day": None, "at": None, "count": 8, "ok": False},
    ]

    # The file is complete: without a declaration the column has the type that was chosen for it.
    pending = typed_views.pending_changes(warehouse.client, parse("[projects.p]"))
    typed_views.apply(warehouse.client, pending)
    assert warehouse.types("order_completed")["day"] == "Nullable(String)"


def test_project_without_events_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(ArgumentError, match="No event of nobody has been counted"):
        typed_views.pending_changes(warehouse.client, parse("[projects.nobody]"))


def test_events_have_the_traits_that_their_user_had_at_the_time(warehouse: Warehouse) -> None:
    def at(item: Any, time: str) -> Any:
        return structs.replace(item, timestamp=time)

    warehouse.write(
        at(identify("i1", traits=b'{"plan":"free","seats":1}'), "2026-01-01T00:00:00.000000Z"),
        at(order("m1", {"price": 1}), "2026-01-02T00:00:00.000000Z"),
        at(identify("i2", traits=b'{"plan":"pro","seats":5}'), "2026-01-03T00:00:00.000000Z"),
        at(order("m2", {"price": 2}), "2026-01-04T00:00:00.000000Z"),
    )
    warehouse.made()
    assert "events_with_person" not in warehouse.store.views(database_name(warehouse.base, "p"))
    declared = parse('[projects.p.events_with_person]\nplan = "text"\nseats = "integer"')
    (done,) = typed_views.apply(warehouse.client, typed_views.pending_changes(warehouse.client, declared))

    assert done.made == ["events_with_person"]
    named = {"event": "order_completed", "event_text": "Order Completed"}
    columns = "id, event, event_text, person_plan, person_seats"
    assert warehouse.rows(f"SELECT {columns} FROM {{}}.events_with_person ORDER BY id") == [  # noqa: S608
        {"id": "m1", **named, "person_plan": "free", "person_seats": 1},
        {"id": "m2", **named, "person_plan": "pro", "person_seats": 5},
    ]
    # A late identify changes the past, and not the present.
    late = at(identify("i0", traits=b'{"plan":"trial"}'), "2026-01-01T12:00:00.000000Z")
    warehouse.write(late)
    plans = warehouse.rows("SELECT person_plan FROM {}.events_with_person ORDER BY id")
    assert [row["person_plan"] for row in plans] == ["trial", "pro"]

    # The views do not depend on how the reader joins.
    views = [f"{{}}.{name}" for name in warehouse.store.views(database_name(warehouse.base, "p"))]
    for view in [*views, *(f"{warehouse.base}.{name}" for name in ("person_history", "persons", "ledger", "catalog"))]:
        rows = [
            warehouse.rows(f"SELECT * FROM {view} ORDER BY ALL SETTINGS join_use_nulls = {value}")  # noqa: S608
            for value in (0, 1)
        ]
        assert rows[0] == rows[1]
