"""The table for a dashboard of docs/views.md on the real engine: it has the rows of the typed view."""

from __future__ import annotations

import json
import re

from processors.typed_views.naming import database_name
from schemas.items import Track
from tests.support.documents import ROOT
from tests.support.records import track
from tests.support.warehouse import Warehouse

SECTION = re.compile(r"^## A table for a dashboard\n.+?^```text\n(.+?)^```", re.MULTILINE | re.DOTALL)


def order(number: int, total: object, event: str = "Order Completed") -> Track:
    return track(f"m{number}", event=event, properties=json.dumps({"total": total}).encode())


def statements(warehouse: Warehouse) -> list[str]:
    """Return the statements of the page, in the names of the test."""
    found = SECTION.search((ROOT / "docs" / "views.md").read_text(encoding="utf-8"))
    assert found is not None
    names = {
        "sequence_dev": database_name(warehouse.base, "p"),
        "sequence_mart": f"{warehouse.base}_mart",
        "sequence.": f"{warehouse.base}.",
        "'dev'": "'p'",
    }
    text = found[1]
    for name, value in names.items():
        text = text.replace(name, value)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def test_table_has_the_rows_of_the_view_whenever_they_arrive(warehouse: Warehouse) -> None:
    warehouse.write(order(1, 9.5), order(2, "12.50"), order(3, 2, "orderCompleted"), order(4, 1, "Other"))
    warehouse.made()
    create_database, create_table, create_view, fill = statements(warehouse)
    for statement in (create_database, create_table, create_view):
        warehouse.client.execute(statement)
    warehouse.write(order(5, 7))
    warehouse.client.execute(fill)
    warehouse.write(order(6, "12,50"), order(7, None), order(8, 3.5, "Other"))

    columns = "SELECT id, user_id, toString(timestamp) AS time, num(total) AS amount FROM"
    of_view = warehouse.rows(f"{columns} {{}}.order_completed ORDER BY id")
    assert [row["amount"] for row in of_view] == [9.5, 12.5, 2.0, 7.0, None, None]
    assert warehouse.rows(f"{columns} {warehouse.base}_mart.orders FINAL ORDER BY id") == of_view
    # Written twice: by the materialized view, and by the INSERT that fills the table.
    assert len(warehouse.rows(f"{columns} {warehouse.base}_mart.orders WHERE id = 'm5'")) == 2
