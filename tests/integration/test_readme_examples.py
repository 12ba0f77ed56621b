"""The examples of README.md, run as they stand but for addresses, on a real broker, gateway and ClickHouse engine."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import requests

from gateway.projects.admin import create_project, create_token
from processors.clickhouse.migrate import migrate
from schemas.records import Record, event_headers
from schemas.settings import ClickHouseSettings, KafkaSettings
from schemas.topics import Topics
from tests.integration.test_gateway_process import gateway
from tests.support import documents, logs, services

EVENT = {
    "project_id": "dev",
    "event": "Order Completed",
    "user_id": "ada",
    "message_id": "order-1",
    "timestamp": "2026-01-01 00:00:00",
    "received_at": "2026-01-01 00:00:00",
    "properties": {"price": 42.5, "coupon": None},
    "_partition": 0,
    "_origin": 0,
}
PERSON = {
    "project_id": "dev",
    "user_id": "ada",
    "traits": {"plan": "pro"},
    "first_seen": "2026-01-01 00:00:00",
    "last_seen": "2026-01-01 00:00:00",
    "_partition": 0,
    "_origin": 0,
}


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[str]:
    """The local stack's ClickHouse with its tables, a row in `events` and one in `person_states`."""
    with services.running(services.embedded_clickhouse(tmp_path)) as front:
        migrate(ClickHouseSettings(url=front.address))
        for table, row in (("events", EVENT), ("person_states", PERSON)):
            query = f"INSERT INTO sequence.{table} FORMAT JSONEachRow"
            answer = requests.post(front.address, params={"query": query}, data=json.dumps(row), timeout=30)
            assert answer.ok, answer.text
        yield front.address


@pytest.mark.parametrize("example", [partial(documents.curl, "/event/batch"), documents.fetch], ids=["curl", "fetch"])
async def test_what_is_posted_is_on_the_topic(kafka_settings: KafkaSettings, topics: Topics, example: Any) -> None:
    await create_project(kafka_settings, "dev", "Development")
    request = example(TOKEN=await create_token(kafka_settings, "dev"))
    async with gateway(kafka_settings) as running, aiohttp.ClientSession() as session:
        url = running.url.rstrip("/") + urlsplit(request.url).path
        async with session.post(url, data=request.body, headers=request.headers) as reply:
            answer = await reply.json()
            assert reply.status == 200, answer

    written = await asyncio.to_thread(logs.read, kafka_settings, topics.items)
    assert answer["accepted"] == len(documents.items(request))
    assert sorted(json.loads(record.value)["type"] for record in written) == sorted(
        item["type"] for item in documents.items(request)
    )


async def test_the_consumer_sees_each_event_once(kafka_settings: KafkaSettings, topics: Topics) -> None:
    # As a worker leaves it that was paused after two records, and woke when another had written all three.
    origins = [3, 5, 8, 3, 5, 9]
    for origin in origins:
        message = f"m-{origin}".encode()
        value = json.dumps({"messageId": message.decode()}).encode()
        record = Record(b"dev/same-partition", value, event_headers(message, origin))
        await asyncio.to_thread(logs.write, kafka_settings, topics.events, [record])
    source = documents.block("python", "AIOKafkaConsumer")
    for shown, real in (("127.0.0.1:9092", kafka_settings.bootstrap_servers), ("sequence.events.v1", topics.events)):
        assert shown in source
        source = source.replace(shown, real)

    assert await printed(source, lines=4) == [{"messageId": f"m-{origin}"} for origin in (3, 5, 8, 9)]


async def printed(source: str, *, lines: int) -> list[Any]:
    """Return the first *lines* that the program *source* prints, each read as JSON."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", source, stdout=PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            return [json.loads(await process.stdout.readline()) for _ in range(lines)]
    finally:
        process.kill()
        await process.wait()


def test_the_query_by_curl_answers(tables: str) -> None:
    request = documents.curl("--data-binary")
    assert request.url == "http://127.0.0.1:8123"
    answer = requests.post(tables, data=request.body.encode(), headers=request.headers, timeout=30)

    assert answer.text == "Order Completed\tada\t42.5\n"


def test_the_query_by_python_answers(tables: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = documents.block("python", "clickhouse_connect")
    assert "port=8123" in source
    exec(source.replace("port=8123", f"port={urlsplit(tables).port}"), {})  # noqa: S102  # it is what the README says to run

    assert capsys.readouterr().out == "ada pro\n"


def test_the_login_of_the_examples_only_reads(tables: str) -> None:
    headers = documents.curl("--data-binary").headers
    answer = requests.post(tables, data=b"TRUNCATE TABLE sequence.events", headers=headers, timeout=30)

    assert not answer.ok
    assert "readonly" in answer.text


def test_json_is_shown_without_nulls(tables: str) -> None:
    query = b"SELECT properties FROM sequence.events FORMAT JSONEachRow"
    answer = requests.post(tables, data=query, timeout=30)

    assert answer.json() == {"properties": {"price": 42.5}}
