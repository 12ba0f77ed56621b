"""The limit of the catalogue: paths of an event beyond 10,000, and events of a project beyond 10,000, count as one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.sink import catalog_counter, catalog_statement
from processors.sink.catalog_statement import OTHER
from tests.contracts.catalogs import CatalogCase, Owner, rows_of
from tests.support.catalog_model import Row, expected

_logs = itertools.count(1)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of 20 paths, near from 5 on."""
    for module in (catalog_statement, catalog_counter):
        monkeypatch.setattr(module, "LIMIT", 20)
        monkeypatch.setattr(module, "NEAR", 5)
    monkeypatch.setattr(catalog_counter, "GROWTH", 15)
    monkeypatch.setattr("processors.sink.catalog_store.NEAR", 5)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=40), min_size=1, max_size=5))
@pytest.mark.usefixtures("small_limit")
def test_event_has_at_most_the_limit_of_paths(catalog_case: CatalogCase, batches: list[list[int]]) -> None:
    case = catalog_case
    case.reset()
    log, offset = next(_logs), 0
    owner, rows = Owner(case), list[Row]()
    earlier: dict[Any, int] = {}
    for batch in batches:
        made = [Row(0, offset + at, "Viewed", {"plan": "pro", f"n{name}": 1}, log=log) for at, name in enumerate(batch)]
        offset += len(made)
        rows += made
        case.write(made)
        owner.finish()
        found = case.read()
        paths = {path for _, _, path, kind in found if kind}
        assert len(paths) <= 20
        assert {path for _, _, path, kind in earlier if kind} <= paths
        assert sum(found.values()) == expected(rows).total()
        assert found["p", "Viewed", "plan", "text"] == len(rows)
        earlier = dict(found)


@pytest.mark.usefixtures("small_limit")
def test_frequent_paths_of_a_crowd_keep_their_names(catalog_case: CatalogCase) -> None:
    case = catalog_case
    rows = rows_of(*({"plan": "pro", "price": at, f"id{at}": None} for at in range(100)))
    case.write(rows)
    Owner(case).finish()
    found = case.read()

    assert found["p", "Viewed", "plan", "text"] == found["p", "Viewed", "price", "integer"] == 100
    assert found["p", "Viewed", OTHER, ""] == 100 - 18
    assert len({path for _, _, path, kind in found if kind}) == 20


@pytest.mark.services
@pytest.mark.usefixtures("small_limit")
def test_project_has_at_most_the_limit_of_events(clickhouse_catalog: CatalogCase) -> None:
    case = clickhouse_catalog
    rows = [Row(0, at, f"Viewed {at}", {"a": 1}) for at in range(60)]
    rows += [Row(0, 60 + at, "Often", {"a": 1}) for at in range(3)]
    rows += [replace(rows[0], offset=63, project="q"), replace(rows[0], offset=64, event="Viewed 60")]
    for part in (rows[:20], rows[20:63], rows[63:]):
        case.write(part)
        Owner(case).finish()
    found = case.read()
    events = {event for project, event, _, _ in found if project == "p" and event != OTHER}

    assert len(events) == 20
    assert "Viewed 0" in events
    assert found["q", "Viewed 0", "a", "integer"] == 1
    assert sum(total for (project, _, _, kind), total in found.items() if project == "p" and not kind) == 64
    assert not [entry for entry in found if entry[1] == OTHER and entry[3]]
