"""The catalogue, typed views and the history of persons as the console shows them, on the real engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import combinations

import pytest

from deploy.console import catalog, history, views
from deploy.console.catalog import Asked
from deploy.console.errors import ParameterError, UnknownError
from deploy.console.tables import LimitedClickHouse
from deploy.operate import catalog_result
from deploy.operate.catalog_result import Entry
from deploy.operate.servers import Servers
from processors.clickhouse.client import ClickHouse
from processors.typed_views.refresh import ViewRefresher
from processors.typed_views.store import ViewStore
from schemas.settings import ClickHouseSettings, KafkaSettings
from tests.integration.console.served import console
from tests.support.console_document import check
from tests.support.console_rows import SECOND, Rows, times
from tests.support.services import ANALYST_PASSWORD

NOW = time.time_ns() // 1000
ORDER, TRAITS = ("event", "Order Completed"), ("trait", "")
COUNTS = (
    (*ORDER, "", "", 100),
    (*ORDER, "price", "integer", 60),
    (*ORDER, "price", "float", 30),
    (*ORDER, "price", "text", 10),
    (*ORDER, "plan", "text", 40),
    (*ORDER, "plan", "null", 60),
    (*ORDER, "(other)", "", 5),
    ("event", "Viewed", "", "", 3),
    ("event", "Viewed", "it's `x`", "boolean", 3),
    (*TRAITS, "", "", 7),
    (*TRAITS, "age", "integer", 7),
)
"""Kind, event, path, type and number of rows."""


@pytest.fixture
def counted(rows: Rows, writer: ClickHouse) -> Iterator[Rows]:
    """A catalogue of two projects, with their typed views."""
    lines = [
        {"project_id": project, "kind": kind, "event": event, "path": path, "type": type_, "total": count}
        | {"first": "2026-01-30 12:00:00.000000", "last": "2026-01-31 12:00:00.000000"}
        for project in ("dev", "other")
        for kind, event, path, type_, count in COUNTS
        if project == "dev" or event != "Viewed"
    ]
    rows.insert("catalog_counts", lines)
    ViewRefresher(ViewStore(writer)).refresh()
    yield rows
    for project in ("dev", "other"):
        writer.execute(f"DROP DATABASE {rows.settings.database}_{project}")


@pytest.mark.usefixtures("counted")
def test_events_are_listed_with_their_conflicts(tables: LimitedClickHouse) -> None:
    found = catalog.listed(tables, Asked(None))

    assert [(each.project_id, each.event, each.count, each.paths, each.conflicts) for each in found.events] == [
        ("dev", "Order Completed", 100, 2, ["price"]),
        ("dev", "Viewed", 3, 1, []),
        ("dev", None, 7, 1, []),
        ("other", "Order Completed", 100, 2, ["price"]),
        ("other", None, 7, 1, []),
    ]
    assert found.is_complete
    assert found.events[0].first_seen == "2026-01-30T12:00:00.000000Z"
    assert [each.project_id for each in catalog.listed(tables, Asked(None, only_conflicts=True)).events] == [
        "dev",
        "other",
    ]
    assert [each.kind for each in catalog.listed(tables, Asked("dev", "trait")).events] == ["trait"]


@pytest.mark.usefixtures("counted")
def test_event_has_paths_with_shares_of_types(tables: LimitedClickHouse) -> None:
    found = catalog.one(tables, Asked("dev", "event", "Order Completed"))

    shown = [(path["path"], path["conflict"], path["isRest"], path["share"]) for path in found.paths]
    assert shown == [("plan", False, False, 1.0), ("price", True, False, 1.0), ("(other)", False, True, 0.05)]
    assert [(each["type"], each["share"]) for each in found.paths[1]["types"]] == [
        ("integer", 0.6),
        ("float", 0.3),
        ("text", 0.1),
    ]
    assert [path["path"] for path in catalog.one(tables, Asked("dev", "trait")).paths] == ["age"]
    with pytest.raises(UnknownError, match="no event 'Nothing' of project dev"):
        catalog.one(tables, Asked("dev", "event", "Nothing"))


def test_conflicts_are_those_of_the_command(rows: Rows, tables: LimitedClickHouse) -> None:
    types = ("integer", "float", "boolean", "text", "array", "array of objects", "null")
    pairs = {f"{one} and {other}": (one, other) for one, other in combinations(types, 2)}
    seen = {"first": "2026-01-30 12:00:00.000000", "last": "2026-01-31 12:00:00.000000", "total": 1}
    lines = [
        {"project_id": "dev", "kind": "event", "event": event, "path": path, "type": type_} | seen
        for event, pair in pairs.items()
        for path, type_ in (("", ""), *(("p", type_) for type_ in pair))
    ]
    rows.insert("catalog_counts", lines)

    shown = {each.event: each.conflicts for each in catalog.listed(tables, Asked("dev")).events}
    expected = {
        event: ["p"]
        * catalog_result.Path("p", [Entry("dev", "event", event, "p", each, 1, "", "") for each in pair]).is_conflict
        for event, pair in pairs.items()
    }
    assert shown == expected
    assert sum(map(len, shown.values())) == 13


def test_query_of_a_view_runs_as_it_is_copied(counted: Rows, tables: LimitedClickHouse) -> None:
    counted.add("events", [{**times(NOW), "event": "Order Completed", "properties": {"price": 12.5, "plan": "pro"}}])
    found = views.find(tables, "dev", "Order Completed")

    assert (found.database, found.view) == (f"{counted.settings.database}_dev", "order_completed")
    properties = [(column.name, column.type) for column in found.columns if column.is_property]
    assert properties == [("plan", "Nullable(String)"), ("price", "Nullable(Float64)")]
    [row] = tables.query(found.sql)
    assert (row["user_id"], row["plan"], row["price"]) == ("ada", "pro", 12.5)
    strange = views.find(tables, "dev", "Viewed")
    assert "it_s_x" in strange.sql
    assert tables.query(strange.sql) == []
    assert views.find(tables, "dev", None).view == "users"
    assert tables.query(views.find(tables, "dev", None).sql) == []
    with pytest.raises(UnknownError, match="There is no view"):
        views.find(tables, "dev", "Nothing")


def test_history_has_the_values_of_each_trait_newest_first(rows: Rows, tables: LimitedClickHouse) -> None:
    rows.add(
        "identifies",
        [
            {**times(NOW), "traits": {"plan": "free", "seats": 3}},
            {**times(NOW + SECOND), "traits": {"plan": "pro" * 400}},
            {**times(NOW + 2 * SECOND), "traits": {"seats": 4}, "traits_null_keys": ["plan"]},
        ],
    )
    rows.add("identifies", [{**times(NOW), "project_id": "other", "traits": {"plan": "secret"}}])
    found = history.find(tables, ["dev"], "ada", None)

    shown = [(each.trait, each.value[:4], each.is_cut, each.valid_to is None) for each in found.values]
    assert shown == [
        ("seats", "4", False, True),
        ("plan", "prop", True, False),
        ("plan", "free", False, False),
        ("seats", "3", False, False),
    ]
    assert len(found.values[1].value) == history.VALUE_CHARACTERS
    assert found.values[2].valid_to == found.values[1].valid_from
    assert [each.value for each in history.find(tables, ["dev"], "ada", "seats").values] == ["4", "3"]
    with pytest.raises(ParameterError, match="several projects have this user: dev, other"):
        history.find(tables, ["dev", "other"], "ada", None)
    with pytest.raises(UnknownError, match="No identify of user 'nobody' with a trait"):
        history.find(tables, ["dev"], "nobody", None)
    with pytest.raises(UnknownError, match="with the trait 'planet'"):
        history.find(tables, ["dev"], "ada", "planet")


async def test_reader_sees_catalogue_and_views_of_its_project_only(counted: Rows) -> None:
    clickhouse = ClickHouseSettings(
        counted.settings.url, "analyst", ANALYST_PASSWORD, database=counted.settings.database
    )
    servers = Servers(KafkaSettings(bootstrap_servers="127.0.0.1:1"), clickhouse, is_local=False)
    async with console(servers) as served:
        for path, described in (
            ("/api/catalog", "/api/catalog"),
            ("/api/catalog/paths?event=Order%20Completed", "/api/catalog/paths"),
            ("/api/catalog/paths?kind=trait", "/api/catalog/paths"),
            ("/api/views/Order%20Completed", "/api/views/{event}"),
            ("/api/views?kind=trait", "/api/views"),
        ):
            reply = await served.get(path, served.projects.read)
            assert reply.status == 200, reply.body
            check(reply.json, described)
            assert b'"other"' not in reply.body
        # The other project has no such event, and its reader does not see the one of dev.
        assert (await served.get("/api/views/Viewed", served.projects.other)).status == 404
        assert (await served.get("/api/catalog/paths?event=Viewed", served.projects.other)).status == 404
        assert (await served.get("/api/views/Viewed", served.projects.operate)).json["code"] == "invalid_parameter"
        named = await served.get("/api/views/Viewed?project=dev", served.projects.operate)
        assert named.json["projectId"] == "dev"
