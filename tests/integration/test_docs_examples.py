"""The examples of the documentation run as they are shown, apart from addresses, on a real broker and ClickHouse.

Consumers: `test_consumer_examples.py`. Statements of docs/sql.md: `test_sql_page.py`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests

from deploy.local import state_lock
from gateway.projects.admin import create_project, create_token, list_projects, list_tokens
from processors.clickhouse.client import ClickHouse
from processors.clickhouse.migrate import migrate
from schemas.settings import KafkaSettings, environment
from schemas.topics import Topics
from tests.integration.test_gateway_process import gateway
from tests.support import logs, services
from tests.support.counted import make_views
from tests.support.documents import PAGES, README, Page, Request, page

HTTP, SQL, COOKBOOK = page("docs/http.md"), page("docs/sql.md"), page("docs/cookbook.md")
PROJECT, USER, TIME = "dev", "ada", "2026-01-01 00:00:00"
ITEM = {
    "project_id": PROJECT,
    "user_id": USER,
    "timestamp": TIME,
    "received_at": TIME,
    "context": '{"library": {"name": "analytics-python"}}',
    "_partition": 0,
    "_origin": 0,
}
ROWS = {
    "events": ITEM
    | {"event": "Order Completed", "message_id": "order-1", "properties": {"price": 42.5, "coupon": None}},
    "identifies": ITEM | {"message_id": "profile-1", "traits": {"plan": "pro"}},
    "person_states": {
        "project_id": PROJECT,
        "user_id": USER,
        "traits": {"plan": "pro"},
        "first_seen": TIME,
        "last_seen": TIME,
        "_partition": 0,
        "_origin": 0,
    },
}
_DUPLICATE = {"message_id": "order-1", "type": "track", "event": "Order Completed", "same_content": False}
ROWS["duplicates"] = _DUPLICATE | {name: ITEM[name] for name in ("project_id", "user_id", "received_at")}
_REJECTION: dict[str, object] = {"project_id": PROJECT, "stage": "gateway", "code": "event_required", "field": "event"}
ROWS["rejected"] = _REJECTION | dict.fromkeys(("received_at", "rejected_at"), TIME)
ROWS["removals"] = {
    "project_id": PROJECT, "table_name": "events", "week": "2026-01-05", "number": 0, "rows": 1, "oldest": TIME,
    "newest": TIME, "removed_at": TIME, "_left": 0, "_version": 1,
}  # fmt: skip
QUERIES = [source for document in PAGES if document not in {SQL, COOKBOOK} for source in document.blocks("sql")]
"""Statements of all pages but docs/sql.md and docs/cookbook.md, which `test_sql_page` and `test_cookbook` run."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the local stack's ClickHouse, with one row in each table, counted, and its typed views."""
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as server:
        settings = services.clickhouse_settings(server.address)
        migrate(settings)
        for table, row in ROWS.items():
            query = f"INSERT INTO sequence.{table} FORMAT JSONEachRow"
            response = requests.post(server.address, params={"query": query}, data=json.dumps(row), timeout=30)
            assert response.ok, response.text
        client = ClickHouse(settings, answer_seconds=60)
        make_views(client)
        client.close()
        yield server.address


@pytest.mark.parametrize(
    ("document", "kind"), [(README, "curl"), (README, "fetch"), (HTTP, "curl"), (HTTP, "fetch")], ids=str
)
async def test_items_of_an_example_are_on_the_topics(
    kafka_settings: KafkaSettings, topics: Topics, document: Page, kind: str
) -> None:
    await create_project(kafka_settings, PROJECT, "Development")
    token = await create_token(kafka_settings, PROJECT)
    request = document.curl("/event/batch", TOKEN=token) if kind == "curl" else document.fetch(TOKEN=token)
    reply = await posted(kafka_settings, request)

    accepted = await asyncio.to_thread(logs.read, kafka_settings, topics.items)
    rejected = await asyncio.to_thread(logs.read, kafka_settings, topics.rejected)
    assert (len(accepted), len(rejected)) == (reply["accepted"], reply["rejected"])
    assert len(accepted) + len(rejected) == len(request.items)
    if (document, kind) == (HTTP, "curl"):
        shown = json.loads(HTTP.block("json", '"success"'))
        assert without_messages(reply) == without_messages(shown)
    else:
        assert rejected == []


async def posted(settings: KafkaSettings, request: Request) -> Any:
    """Return the reply to *request* of a gateway of its own."""
    async with gateway(settings) as running, aiohttp.ClientSession() as session:
        url = running.url.rstrip("/") + urlsplit(request.url).path
        async with session.post(url, data=request.body, headers=request.headers) as response:
            reply = await response.json()
            assert response.status == 200, reply
            return reply


def without_messages(reply: dict[str, Any]) -> dict[str, Any]:
    """Return *reply* without the sentences for people."""
    items = [{name: value for name, value in item.items() if name != "message"} for item in reply["items"]]
    return reply | {"items": items}


async def test_project_and_token_commands_create_both(kafka_settings: KafkaSettings, topics: Topics) -> None:
    commands = [words for words in HTTP.commands() if words[0] == "sequence"]
    outputs = [await run(kafka_settings, words[1:]) for words in commands]

    (project,) = await list_projects(kafka_settings)
    (token,) = await list_tokens(kafka_settings)
    assert (project.id, project.name, token.project_id) == ("shop", "Web shop", "shop")
    assert token.expires_at is not None
    assert outputs[-1].strip().startswith(token.hint.rstrip("…"))
    assert topics.projects.endswith(".projects.v1")


async def run(settings: KafkaSettings, words: list[str]) -> str:
    """Return what the command `sequence` prints for *words*."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", *words, stdout=PIPE, env={**os.environ, **environment(settings)}
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0, words
    return stdout.decode()


def shell(script: str, directory: Path, tables: str) -> subprocess.CompletedProcess[str]:
    """Run *script* in *directory*, with the stack of *tables* and this installation's `sequence`."""
    environ = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(urlsplit(tables).port),
    }
    state = directory / ".sequence"
    (directory / "query.sql").write_text("SELECT count() FROM events")
    with state_lock.held(state):
        (state / "analyst-password").write_text(f"{services.ANALYST_PASSWORD}\n")
        return subprocess.run(
            ["/bin/sh", "-ec", script],
            cwd=directory,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def test_query_of_the_readme_is_answered(tables: str, tmp_path: Path) -> None:
    script = README.block("bash", "sequence sql").replace(".venv/bin/sequence", "sequence")

    done = shell(script, tmp_path, tables)

    assert (done.stdout, done.stderr) == ("Order Completed\tada\t42.5\n", "")


def test_queries_of_the_sql_page_are_answered(tables: str, tmp_path: Path) -> None:
    done = shell(SQL.block("bash", "sequence sql"), tmp_path, tables)

    first, second, third = done.stdout.splitlines()
    assert (first, third, done.stderr) == ("Order Completed\t1", "1", "")
    assert json.loads(second)["traits"] == {"plan": "pro"}


def test_query_by_python_is_answered(
    tables: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = SQL.block("python", "clickhouse_connect")
    assert "port=8123" in source
    assert shell(SQL.block("bash", "--entrypoint cat sql").splitlines()[0], tmp_path, tables).stdout.strip()
    monkeypatch.chdir(tmp_path)
    exec(source.replace("port=8123", f"port={urlsplit(tables).port}"), {})  # noqa: S102  # it is what the page says to run

    assert capsys.readouterr().out == "ada pro\n"


def test_query_by_curl_is_answered(tables: str, tmp_path: Path) -> None:
    script = SQL.block("bash", "curl -sS").replace(":8123/", f":{urlsplit(tables).port}/")

    done = shell(script, tmp_path, tables)

    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("query", QUERIES)
def test_query_of_a_page_is_answered_for_the_analyst(tables: str, query: str) -> None:
    url = f"http://127.0.0.1:{urlsplit(tables).port}"
    login = ("analyst", services.ANALYST_PASSWORD)
    response = requests.post(url, params={"database": "sequence"}, data=query.encode(), auth=login, timeout=30)

    assert response.ok, response.text
    assert ">= now()" in query or "_warnings" in query or response.text


@pytest.mark.parametrize(
    ("table", "title"),
    [
        *((name, f"`{name}`") for name in ("events", "identifies")),
        *(("persons", "Persons"), ("person_history", "Persons in time")),
    ],
)
def test_columns_shown_are_those_of_the_table(tables: str, table: str, title: str) -> None:
    query = f"DESCRIBE TABLE sequence.{table} SETTINGS print_pretty_type_names = 0 FORMAT JSONEachRow"
    response = requests.post(tables, data=query.encode(), timeout=30)
    columns = [json.loads(line) for line in response.text.splitlines()]

    assert [[re.sub("`", "", cell) for cell in row[:2]] for row in SQL.rows(title)] == [
        [column["name"], column["type"]] for column in columns
    ]


def test_login_of_the_examples_only_reads(tables: str, tmp_path: Path) -> None:
    done = shell("sequence sql 'TRUNCATE TABLE events'", tmp_path, tables)

    assert (done.returncode, done.stdout) == (1, "")
    assert "readonly" in done.stderr or "Not enough privileges" in done.stderr
    assert shell("sequence sql 'SELECT count() FROM events'", tmp_path, tables).stdout == "1\n"


def test_null_is_not_stored(tables: str) -> None:
    query = b"SELECT properties FROM sequence.events FORMAT JSONEachRow"
    response = requests.post(tables, data=query, timeout=30)

    assert response.json() == {"properties": {"price": 42.5}}
