"""The comparison by names: rows with a number of names, and the product's DDL with another storage."""

from __future__ import annotations

import json

import pytest

from schemas.clickhouse import EVENTS, IDENTIFIES, Table
from tests.benchmarks.names import KINDS, NAMES_OF_AN_EVENT, SHAPES, STORAGES, NamedRows


def objects(shape: str, names: int, rows: int) -> list[dict[str, object]]:
    """Return the JSON objects of *rows* rows."""
    table = IDENTIFIES if shape == "traits" else EVENTS
    column = "traits" if shape == "traits" else "properties"
    [*blocks] = NamedRows(shape, names).blocks(table, rows)
    return [json.loads(bytes(getattr(row, column))) for block in blocks for row in block.rows]


@pytest.mark.parametrize("names", [60, 600, 6_000])
def test_rows_have_that_many_names_of_which_an_event_has_fifteen(names: int) -> None:
    made = objects("properties", names, 4_000)

    assert {len(value) for value in made} == {NAMES_OF_AN_EVENT + len(("price", "plan"))}
    assert len({name for value in made for name in value} - {"price", "plan"}) == min(names, KINDS * 30)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_candidate_gets_the_same_rows(shape: str) -> None:
    assert objects(shape, 600, 50) == objects(shape, 600, 50)


@pytest.mark.parametrize("table", [EVENTS, IDENTIFIES], ids=lambda table: table.name)
def test_storages_differ_in_their_statements_but_for_the_product(table: Table) -> None:
    made = [storage.ddl(table) for storage in STORAGES]

    assert len(set(made)) == len(STORAGES)
    for storage, statement in zip(STORAGES, made, strict=True):
        assert f" {storage.kind} COMMENT" in statement
        assert all(statement.count(f"{name} = {value}") == 1 for name, value in storage.settings.items())
        assert storage.kind in dict(storage.table(table).columns).values()
