"""The statements of docs/views.md, Faster properties: no answer depends on how properties are stored."""

from __future__ import annotations

import json
import re

from deploy.operate import doctor_table_rules
from processors.clickhouse.migrate import read_migrations
from schemas.items import Track
from tests.support.counted import counted_events
from tests.support.documents import ROOT
from tests.support.records import track
from tests.support.warehouse import Warehouse

SECTION = re.compile(r"^## Faster properties\n.+?(?=^## )", re.MULTILINE | re.DOTALL)
STATEMENT = re.compile(r"^```text\n(.+);\n```", re.MULTILINE)
PROPERTIES: tuple[dict[str, object], ...] = (
    {"total": 9.5, "coupon": "SPRING", "utm.source": "web", "shipping": {"country": "DE", "days": 3}},
    {"total": "12.50", "coupon": None, "products": [{"sku": "A", "price": 4}, {"sku": "B", "note": "x"}]},
    {"total": 7, "products": [{"sku": "A", "price": "4.5"}], "tags": ["a", 1, None], "big": 9007199254740993},
    {"total": True, "coupon": "", "empty": {}, "list": [], "shipping": {"country": "AT"}},
    {f"name_{number}": number for number in range(300)},
)
QUESTIONS = """
SELECT id, total, coupon, utm_source, shipping_country, shipping_days, products FROM {}.order_completed ORDER BY id;

SELECT id, toString(properties) AS text, properties_null_keys AS nulls FROM {}.order_completed ORDER BY id;

SELECT message_id, properties.products[].sku AS skus, toString(properties.tags) AS tags, str(properties.big) AS big,
    num(properties.total) AS total, properties.name_299 AS rare, properties.`utm%2Esource` AS source
FROM events ORDER BY message_id;

SELECT arrayJoin(JSONAllPathsWithTypes(properties)) AS path, count() AS times FROM events GROUP BY path ORDER BY path;

SELECT event, path, type, count FROM catalog WHERE project_id = 'p' ORDER BY event, path, type
"""


def orders(first: int) -> list[Track]:
    return [
        track(f"m{first + at:04d}", event="Order Completed", properties=json.dumps(PROPERTIES[at % 5]).encode())
        for at in range(200)
    ]


def statements() -> list[str]:
    """Return the statements of the section: by name, a week anew, by row."""
    section = SECTION.search((ROOT / "docs" / "views.md").read_text(encoding="utf-8"))
    assert section is not None
    return STATEMENT.findall(section[0])


def merge(warehouse: Warehouse) -> None:
    """Rewrite every week with the statement of the page."""
    _, statement, _ = statements()
    weeks = warehouse.client.query(
        "SELECT DISTINCT partition FROM system.parts WHERE active AND database = currentDatabase() AND table = 'events'"
    )
    assert weeks
    for row in weeks:
        warehouse.client.execute(statement.replace("2026-06-22", row["partition"]))


def answers(warehouse: Warehouse) -> list[list[dict[str, object]]]:
    return [warehouse.rows(question) for question in QUESTIONS.split(";")]


def is_by_name(warehouse: Warehouse) -> bool:
    """Return whether the only part stores properties by name."""
    [part] = warehouse.client.query(
        "SELECT has(substreams, 'properties.object_shared_data.copy.values') AS by_name FROM system.parts_columns"
        " WHERE active AND database = currentDatabase() AND table = 'events' AND column = 'properties'"
    )
    return bool(part["by_name"])


def findings(warehouse: Warehouse) -> list[str]:
    """Return what `sequence doctor` finds about the settings of `events`."""
    declared = doctor_table_rules.declared_settings(text for each in read_migrations() for text in each.statements)
    [row] = warehouse.client.query("SHOW CREATE TABLE events")
    return [each.what for each in doctor_table_rules.different_settings("events", declared["events"], row["statement"])]


def test_answers_are_the_same_however_properties_are_stored(warehouse: Warehouse) -> None:
    warehouse.write(*orders(0))
    warehouse.write(*orders(1000))
    warehouse.made()
    merge(warehouse)
    before = answers(warehouse)
    assert not is_by_name(warehouse)

    to_names, _, to_rows = statements()
    warehouse.client.execute(to_names)
    assert answers(warehouse) == before, "parts that no merge has written again"
    merge(warehouse)
    assert is_by_name(warehouse)
    assert answers(warehouse) == before

    # INSERTs, the catalogue and deletions work as before.
    warehouse.write(*orders(2000))
    assert counted_events(warehouse.client) == 600
    merge(warehouse)
    warehouse.client.execute("DELETE FROM events WHERE message_id < 'm0100'")
    warehouse.client.execute("ALTER TABLE events DELETE WHERE message_id >= 'm1100' SETTINGS mutations_sync = 2")
    assert warehouse.rows("SELECT count() AS rows, sum(num(properties.total)) AS total FROM events") == [
        {"rows": 200, "total": 40 * (9.5 + 12.5 + 7)}
    ]

    warehouse.client.execute(to_rows)
    merge(warehouse)
    assert not is_by_name(warehouse)
    assert [row["rows"] for row in warehouse.rows("SELECT count() AS rows FROM events")] == [200]
    assert findings(warehouse) == []


def test_doctor_accepts_both_and_no_other(warehouse: Warehouse) -> None:
    assert findings(warehouse) == []
    to_names, _, _ = statements()
    warehouse.client.execute(to_names)
    assert findings(warehouse) == []
    warehouse.client.execute(to_names.replace("advanced", "map"))
    assert findings(warehouse) == [
        "events has object_shared_data_serialization_version=map, declared is map_with_buckets."
    ]
