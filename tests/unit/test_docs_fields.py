"""Every place that lists the fields of an item has each of them, from the HTTP API to the columns of ClickHouse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

import msgspec
import pytest

from gateway.ingest.rules import WireItem
from processors.clickhouse.migrate import read_migrations
from processors.sink.rows import DuplicateRow, EventRow, IdentifyRow, PersonRow, RejectedRow
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, PERSONS, REJECTED, TABLES, Table
from schemas.items import Identify, ItemFields, Track
from tests.support.documents import ROOT, page, quoted
from tests.unit.gateway.ingest.json_texts import VALID
from tests.unit.processors.sink.test_rows import CONTEXT, FULL

HTTP, SQL, CONSUMERS = page("docs/http.md"), page("docs/sql.md"), page("docs/consumers.md")
OPENAPI = json.loads((ROOT / "schemas" / "openapi.json").read_text())["components"]["schemas"]
TABLES_TEST = (ROOT / "tests" / "integration" / "test_tables.py").read_text()

COLUMNS = {"warnings": "_warnings", "token_id": "_token", "erased": "_erased"}
"""Columns whose name is not that of their field."""
FIELDS = {
    field.encode_name: COLUMNS.get(field.name, field.name)
    for kind in (Track, Identify)
    for field in msgspec.structs.fields(kind)
}
"""The column of each field of an item on `items.v1`."""
COMMON = {field.encode_name: COLUMNS.get(field.name, field.name) for field in msgspec.structs.fields(ItemFields)}
"""The same, of the fields that both types have."""
GIVEN = {"projectId", "receivedAt", "originalTimestamp", "warnings", "tokenId"}
"""Fields that the gateway sets."""
SENT = FIELDS.keys() - GIVEN


def column(field: str) -> str:
    """Return the column of *field* of an item or a row."""
    return COLUMNS.get(field, field)


_COLUMN = re.compile(r"^    (\w+) (.+?)(?: COMMENT| CODEC|,?$)", re.MULTILINE)
_ADDED = re.compile(r"ADD COLUMN(?: IF NOT EXISTS)? (\w+) (.+?)(?: DEFAULT| COMMENT| CODEC| AFTER|,|$)", re.MULTILINE)


def columns(ddl: str, table: str) -> dict[str, str]:
    """Return the type of each column of *table* after the statements of *ddl*."""
    [created] = re.findall(rf"^CREATE TABLE IF NOT EXISTS {table}\n\((.*?)^\)", ddl, re.MULTILINE | re.DOTALL)
    altered = re.findall(rf"^ALTER TABLE {table}\s(.*?);$", ddl, re.MULTILINE | re.DOTALL)
    found = dict(_COLUMN.findall(created))
    found.pop("PROJECTION", None)
    return found | dict(_ADDED.findall("\n".join(altered)))


DDL = "\n".join(file.text for file in read_migrations())
BY_WIRE_NAME: Mapping[str, set[str]] = {
    "docs/consumers.md": {
        *quoted(CONSUMERS.section("Records of `events.v1`")),
        *json.loads(CONSUMERS.block("json", "messageId")),
    },
    "tests/integration/test_tables.py": set(re.findall(r'"(\w+)"', TABLES_TEST)),
}
BY_COLUMN: Mapping[str, set[str]] = {
    "the migrations in schemas/clickhouse": columns(DDL, "events").keys() | columns(DDL, "identifies").keys(),
    "docs/sql.md": {*SQL.names("`events`"), *SQL.names("`identifies`")},
    "schemas/clickhouse/__init__.py": {name for table in (EVENTS, IDENTIFIES) for name, _ in table.columns},
    "processors/sink/rows.py": {*map(column, (*EventRow.__struct_fields__, *IdentifyRow.__struct_fields__))},
    "tests/unit/processors/sink/test_rows.py": {*map(column, (*FULL, *CONTEXT)), "event", "properties", "traits"},
}
BY_SENT_NAME: Mapping[str, set[str]] = {
    "gateway/ingest/rules.py": set(WireItem.__struct_encode_fields__),
    "tests/unit/gateway/ingest/json_texts.py": set(VALID),
    "docs/http.md": {name for row in HTTP.rows("Items") for name in quoted(row[0])} | {"type"},
    "openapi.json, Track and Identify": {*OPENAPI["Track"]["properties"], *OPENAPI["Identify"]["properties"]},
    "openapi.json, single items": {*OPENAPI["SingleTrack"]["properties"], *OPENAPI["SingleIdentify"]["properties"]},
}


def forgotten(names: Iterable[str], places: Mapping[str, set[str]]) -> list[str]:
    """Return each of *places* that lacks one of *names*, with that name."""
    return [f"{place}: {name}" for place, found in places.items() for name in sorted(names) if name not in found]


def test_every_place_has_every_field() -> None:
    assert forgotten(FIELDS, BY_WIRE_NAME) == []
    assert forgotten(FIELDS.values(), BY_COLUMN) == []
    assert forgotten(SENT, BY_SENT_NAME) == []


@pytest.mark.parametrize("places", [BY_WIRE_NAME, BY_COLUMN, BY_SENT_NAME], ids=["wire", "column", "sent"])
def test_forgotten_field_is_found_in_every_place(places: Mapping[str, set[str]]) -> None:
    assert forgotten(["locale"], places) == [f"{place}: locale" for place in places]


def test_items_and_rows_have_one_order() -> None:
    written = [(EVENTS, EventRow), (IDENTIFIES, IdentifyRow), (PERSONS, PersonRow)]
    for table, row in written:
        kept = next(name for name, _ in table.columns if name.endswith("_null_keys"))
        renamed = {**COLUMNS, "log": "_log", "partition": "_partition", "source_offset": "_origin", "null_keys": kept}
        assert [renamed.get(name, name) for name in row.__struct_fields__] == [name for name, _ in table.columns]
    placed = {"token_id": "_token", "log": "_log", "partition": "_partition", "source_offset": "_origin"}
    renamed = {**placed, "first_offset": "first_origin"}
    assert [renamed.get(name, name) for name in DuplicateRow.__struct_fields__] == [
        name for name, _ in DUPLICATES.columns
    ]
    renamed = {**placed, "rejected_partition": "source_partition", "rejected_offset": "source_offset"}
    assert [renamed.get(name, name) for name in RejectedRow.__struct_fields__] == [name for name, _ in REJECTED.columns]
    assert [name for name, _ in EVENTS.columns][: len(COMMON)] == list(COMMON.values())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_columns_are_those_of_the_migrations(table: Table) -> None:
    plain = {name: kind.replace("LowCardinality(String)", "String") for name, kind in columns(DDL, table.name).items()}

    assert plain == dict(table.columns)


@pytest.mark.parametrize("table", [EVENTS, IDENTIFIES, DUPLICATES, REJECTED], ids=lambda table: table.name)
def test_columns_shown_are_those_of_the_migrations(table: Table) -> None:
    shown = {quoted(row[0])[0]: quoted(row[1])[0] for row in SQL.rows(f"`{table.name}`")}

    assert shown == columns(DDL, table.name)


@pytest.mark.parametrize("table", ["events", "identifies"])
def test_comments_of_columns_are_the_words_of_the_page(table: str) -> None:
    """Those that a migration gives to a column, which `DESCRIBE` shows."""
    [altered] = re.findall(rf"^ALTER TABLE {table} (COMMENT COLUMN .*?);$", DDL, re.MULTILINE | re.DOTALL)
    shown = {quoted(row[0])[0]: re.sub(r"`|\[([^]]*)\]\([^)]*\)", r"\1", row[2]) for row in SQL.rows(f"`{table}`")}
    commented = dict(re.findall(r"COMMENT COLUMN (\w+) '([^']*)'", altered))

    assert commented
    assert {name: shown[name] for name in commented} == commented


def test_columns_of_persons_shown_are_those_of_the_view() -> None:
    [selected] = re.findall(r"CREATE VIEW IF NOT EXISTS persons AS\nSELECT (.+)\nFROM", DDL)
    states = columns(DDL, PERSONS.name)
    view = {column.split()[-1]: states[column.split()[0]] for column in selected.split(", ")}

    assert {quoted(row[0])[0]: quoted(row[1])[0] for row in SQL.rows("Persons")} == view


def test_columns_of_replays_shown_are_those_of_the_migration() -> None:
    assert {quoted(row[0])[0]: quoted(row[1])[0] for row in SQL.rows("`replays`")} == columns(DDL, "replays")


def test_columns_of_lag_shown_are_those_of_the_migration() -> None:
    assert {quoted(row[0])[0]: quoted(row[1])[0] for row in SQL.rows("`lag`")} == columns(DDL, "lag")


def test_columns_of_the_ledger_shown_are_those_of_the_view() -> None:
    [selected] = re.findall(r"CREATE OR REPLACE VIEW ledger AS\nSELECT (.+?)\nFROM", DDL, re.DOTALL)

    assert SQL.names("`ledger`") == [column.split()[-1] for column in selected.split(",")]


def test_added_column_is_found_in_its_table_only() -> None:
    added = "ALTER TABLE events ADD COLUMN IF NOT EXISTS locale Nullable(String) COMMENT 'x' AFTER anonymous_id;"

    assert columns(f"{DDL}\n{added}", "events") == columns(DDL, "events") | {"locale": "Nullable(String)"}
    assert columns(f"{DDL}\n{added}", "identifies") == columns(DDL, "identifies")
