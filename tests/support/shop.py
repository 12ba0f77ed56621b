"""Rows of a small shop for tests of SQL: four users whose properties have several types, written as the sink does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from processors.sink.insert import _SETTINGS
from tests.support.clickhouse_http import ClickHouseHttp

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
USERS = ("ada", "bob", "cy", "dee")
PLANS = ("pro", "free", "pro", 5)
"""Plans of the users now. A month ago each was `free`."""
_FIRST_PRICES = (10, 12.5, "30", None)
_SOURCES = ("ads", "search", "ads", None)


def put(client: ClickHouseHttp, table: str, rows: list[dict[str, Any]]) -> None:
    """Write *rows* to *table* with the settings of the sink."""
    text = "\n".join(map(json.dumps, rows))
    writer = replace(client, settings={name: str(value) for name, value in _SETTINGS.items()})
    reply = writer.send(text.encode(), query=f"INSERT INTO {table} FORMAT JSONEachRow")
    assert reply.status == 200, reply.text


def _item(user: str, at: datetime, number: int) -> dict[str, Any]:
    return {
        "project_id": "dev",
        "user_id": user,
        "message_id": f"m{number}",
        "timestamp": at.strftime("%Y-%m-%d %H:%M:%S"),
        "received_at": (at + timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S"),
        "context": '{"library": {"name": "analytics.js"}}',
        "_warnings": [{"code": "nan_to_null", "field": "properties.price", "sent": ""}] if number == 1 else [],
        "_origin": number,
    }


def events() -> list[dict[str, Any]]:
    """Return the events: each user signs up, views a product and orders, and comes back this week."""
    rows: list[dict[str, Any]] = []

    def add(user: str, event: str, days: int, minutes: int, properties: dict[str, Any]) -> None:
        at = NOW - timedelta(days=days) + timedelta(minutes=minutes)
        rows.append({**_item(user, at, len(rows)), "event": event, "properties": properties})

    for number, user in enumerate(USERS):
        days = 60 - 10 * number
        source = {} if _SOURCES[number] is None else {"source": _SOURCES[number]}
        add(user, "Signed Up", days, 0, source)
        add(user, "Product Viewed", days - 1, 0, {"plan": True})
        if number < 3:
            items = [{"sku": "a", "price": 1}, {"sku": "b", "price": 2.5}]
            order = {"price": _FIRST_PRICES[number], "plan": PLANS[number], "first": True, "items": items}
            add(user, "Order Completed", days - 1, 10, {**order, "delivery_date": "2026-02-15", "coupon": None})
        late = {"price": 20, "plan": "pro", "first": False, "items": [{"sku": "a", "price": 1}], "source": "mail"}
        if number < 3:
            add(user, "Order Completed", number, 0, late)
    return rows


def identifies() -> list[dict[str, Any]]:
    """Return two identifies of each user: the free plan, and 30 days ago the present one."""
    return [
        {**_item(user, NOW - timedelta(days=days), 100 + 2 * number + later), "traits": {"plan": plan, "age": 30}}
        for number, user in enumerate(USERS)
        for later, (days, plan) in enumerate([(65, "free"), (30, PLANS[number])])
    ]


def persons() -> list[dict[str, Any]]:
    """Return the present state of each user."""
    seen = {"first_seen": "2026-01-14 12:00:00", "last_seen": "2026-02-18 12:00:00"}
    return [
        {"project_id": "dev", "user_id": user, "traits": {"plan": PLANS[number], "age": 30}, **seen, "_origin": number}
        for number, user in enumerate(USERS)
    ]


def duplicates_and_rejected() -> dict[str, dict[str, Any]]:
    """Return a row of each of both tables."""
    times = dict.fromkeys(("received_at", "rejected_at"), "2026-03-20 11:30:00")
    rejection = {"project_id": "dev", "stage": "gateway", "code": "event_required", "field": "event", **times}
    duplicate = {**_item("ada", NOW, 0), "type": "track", "event": "Order Completed", "same_content": False}
    names = ("project_id", "user_id", "message_id", "received_at", "type", "event", "same_content")
    return {"duplicates": {name: duplicate[name] for name in names}, "rejected": rejection}


def fill(client: ClickHouseHttp) -> None:
    """Write all rows to the database `sequence`."""
    for table, rows in (("events", events()), ("identifies", identifies()), ("person_states", persons())):
        put(client, f"sequence.{table}", rows)
    for table, row in duplicates_and_rejected().items():
        put(client, f"sequence.{table}", [row])
