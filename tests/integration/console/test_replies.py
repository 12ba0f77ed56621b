"""The OpenAPI document describes the console as it behaves, here with ClickHouse and without Kafka."""

from __future__ import annotations

import time
from typing import Any

import pytest

from deploy.operate.servers import Servers
from schemas.settings import ClickHouseSettings, KafkaSettings
from tests.integration.console.served import console
from tests.support.console_document import DOCUMENT, check
from tests.support.console_rows import SECOND, Rows, add_one_of_each, at
from tests.support.openapi import references
from tests.support.services import ANALYST_PASSWORD


@pytest.fixture
def servers(rows: Rows) -> Servers:
    clickhouse = ClickHouseSettings(rows.settings.url, "analyst", ANALYST_PASSWORD, database=rows.settings.database)
    return Servers(KafkaSettings(bootstrap_servers="127.0.0.1:1"), clickhouse, is_local=False)


@pytest.mark.parametrize(
    ("path", "described"),
    [
        ("/api/session", "/api/session"),
        ("/api/events", "/api/events"),
        ("/api/events?limit=1&verdict=rejected&since=1h&until=2100-01-01", "/api/events"),
        ("/api/rates", "/api/rates"),
        ("/api/rejected?since=2020-01-01", "/api/rejected"),
        ("/api/persons/ada", "/api/persons/{userId}"),
        ("/api/persons?userId=ada&project=dev", "/api/persons"),
        ("/api/persons/ada/history", "/api/persons/{userId}/history"),
        ("/api/history?userId=ada&project=dev&trait=n", "/api/history"),
        ("/api/catalog", "/api/catalog"),
        ("/api/catalog?kind=event&conflicts=true", "/api/catalog"),
        ("/api/trace/e1", "/api/trace/{messageId}"),
        ("/api/trace?messageId=nothing", "/api/trace"),
        ("/health/live", "/health/live"),
        ("/health/ready", "/health/ready"),
    ],
)
async def test_reply_is_described(rows: Rows, servers: Servers, path: str, described: str) -> None:
    add_one_of_each(rows, time.time_ns() // 1000 - SECOND, "1")
    async with console(servers) as served:
        for token in (served.projects.read, served.projects.operate):
            reply = await served.get(path, token)
            assert reply.status == 200, reply.body
            check(reply.json, described)


async def test_reader_sees_the_rows_of_its_project_only(rows: Rows, servers: Servers) -> None:
    now = time.time_ns() // 1000
    add_one_of_each(rows, now - 60 * SECOND, "-own")
    for table in ("duplicates", "rejected"):
        extra = {"rejected_at": at(now)["received_at"]} if table == "rejected" else {}
        rows.add(table, [{**at(now - 60 * SECOND), **extra, "project_id": "other", "message_id": "SECRET"}])
    for table in ("events", "identifies"):
        item = {**at(now - 60 * SECOND), "timestamp": at(now)["received_at"], "user_id": "SECRET-user"}
        rows.add(table, [{**item, "project_id": "other", "message_id": "SECRET"}])
    paths = (
        *("/api/events?limit=500", "/api/events?search=SECRET", "/api/events?userId=SECRET-user", "/api/rejected"),
        *("/api/rates", "/api/persons/SECRET-user", "/api/persons/ada", "/api/trace/SECRET", "/api/session"),
    )
    async with console(servers) as served:
        for path in paths:
            own = await served.get(path, served.projects.read)
            all_projects = await served.get(path, served.projects.operate)
            asked = path.count("SECRET")
            assert own.body.count(b"SECRET") <= asked, path
            if path not in {"/api/rates", "/api/persons/ada", "/api/session"}:
                assert all_projects.body.count(b"SECRET") > asked, "the control sees it"
        for token, count in ((served.projects.read, 2), (served.projects.operate, 4)):
            rates = (await served.get("/api/rates", token)).json
            assert sum(rates["accepted"]) * rates["stepSeconds"] == count


@pytest.mark.parametrize(
    ("path", "described", "status"),
    [
        ("/api/events?limit=0", "/api/events", 400),
        ("/api/events?before=x", "/api/events", 400),
        ("/api/events?since=1h&until=2h", "/api/events", 400),
        ("/api/rates?since=2d", "/api/rates", 400),
        ("/api/rates?since=1s", "/api/rates", 400),
        ("/api/trace", "/api/trace", 400),
        ("/api/persons", "/api/persons", 400),
        ("/api/persons/nobody", "/api/persons/{userId}", 404),
        ("/api/persons/nobody/history", "/api/persons/{userId}/history", 404),
        ("/api/history", "/api/history", 400),
        ("/api/catalog?kind=page", "/api/catalog", 400),
        ("/api/catalog?conflicts=1", "/api/catalog", 400),
        ("/api/catalog/paths?project=dev", "/api/catalog/paths", 400),
        ("/api/catalog/paths?event=e", "/api/catalog/paths", 400),
        ("/api/catalog/paths?project=dev&kind=trait&event=e", "/api/catalog/paths", 400),
        ("/api/catalog/paths?project=dev&event=Unknown", "/api/catalog/paths", 404),
        ("/api/views/e?project=dev&kind=trait", "/api/views/{event}", 400),
        ("/api/views/Unknown?project=dev", "/api/views/{event}", 404),
        ("/api/views?project=dev", "/api/views", 400),
        ("/api/events?project=missing", "/api/events", 404),
    ],
)
async def test_error_is_described(servers: Servers, path: str, described: str, status: int) -> None:
    async with console(servers) as served:
        reply = await served.get(path, served.projects.operate)
        assert reply.status == status
        check(reply.json, described, status)


async def test_login_is_described(servers: Servers) -> None:
    async with console(servers) as served:
        for token, status in ((served.projects.read, 200), ("x", 401), (served.projects.write, 403)):
            reply = await served.log_in(token)
            assert reply.status == status
            check(reply.json, "/api/session", status, "post")


async def test_pages_of_the_api_follow_each_other(rows: Rows, servers: Servers) -> None:
    now = time.time_ns() // 1000
    for number in range(4):
        add_one_of_each(rows, now - number * 1000, str(number))
    async with console(servers) as served:
        found, before = [], ""
        while True:
            page = (await served.get(f"/api/events?limit=5{before}", served.projects.read)).json
            found += [item["messageId"] for item in page["items"]]
            if page["next"] is None:
                break
            before = f"&before={page['next']}"
        other = (await served.get(f"/api/events?limit=5{before}", served.projects.other)).json

    assert found == [f"{kind}{number}" for number in range(4) for kind in "iedr"]
    assert other["items"] == [], "a cursor shows nothing of another project"


async def test_document_lists_exactly_the_routes(servers: Servers) -> None:
    async with console(servers) as served:
        routes = {
            (resource.canonical, route.method.lower())
            for resource in served.app.router.resources()
            for route in resource
            if route.method != "HEAD" and not resource.canonical.startswith("/test")
        }
        document = (await served.get("/openapi.json")).json

    described = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert routes - {("/{path}", "get")} == {each for each in described if not each[0].startswith("/test")}
    assert document == DOCUMENT


def test_every_reference_of_the_document_resolves() -> None:
    for reference in references(DOCUMENT):
        node: Any = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]
        assert node
