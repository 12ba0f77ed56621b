"""No web page reaches the servers of the local stack: real Chromium, every way in which a page sends a request."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest

from schemas.settings import KafkaSettings
from schemas.topics import Topics
from tests.hostile import browser
from tests.hostile.browser import VECTORS, WITHOUT_LOGIN, RecordingProxy
from tests.hostile.target import Target, running_gateway
from tests.support import logs, services
from tests.support.chromium_headers import HEADERS

BATCH = json.dumps({"batch": [{"type": "track", "event": "e", "userId": "u"}], "writeKey": "guessed"})
pytestmark = [pytest.mark.hostile, pytest.mark.services]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingProxy]:
    """The embedded ClickHouse server."""
    service = services.embedded_clickhouse(tmp_path_factory.mktemp("closed"))
    with services.running(service), RecordingProxy(_port(service)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def open_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingProxy]:
    """The control: a server that no header and no password closes."""
    service = replace(
        services.embedded_clickhouse(tmp_path_factory.mktemp("open")),
        command=lambda: [sys.executable, "-m", "tests.hostile.open_clickhouse"],
    )
    with services.running(service), RecordingProxy(_port(service)) as proxy:
        yield proxy


@pytest.mark.parametrize("vector", VECTORS)
def test_page_that_knows_the_password_runs_no_statement(closed: RecordingProxy, tmp_path: Path, vector: str) -> None:
    written = tmp_path / "written.tsv"
    login = "" if vector in WITHOUT_LOGIN else f"default:{services.WRITER_PASSWORD}@"
    with browser.send(vector, _url(closed.port, written, login=login), tmp_path / "profile"):
        head, received = browser.wait_for(closed, written.parent.name)

    assert received.startswith(b"HTTP/1.1 403 "), received
    assert b"access-control-allow" not in received.lower()
    assert browser.browser_headers(head) == HEADERS[vector]
    assert not written.exists()


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if vector != "websocket"])
def test_control_page_writes_a_file_through_an_open_server(open_: RecordingProxy, tmp_path: Path, vector: str) -> None:
    written = tmp_path / "written.tsv"
    with browser.send(vector, _url(open_.port, written), tmp_path / "profile"):
        browser.wait_for(open_, written.parent.name)
        services.eventually(written.exists, "the page has written the file")


@pytest.fixture(scope="module")
def gateway_settings(kafka: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"browser-{secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def gateway(gateway_settings: KafkaSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running_gateway(gateway_settings, tmp_path_factory.mktemp("gateway")) as target:
        yield target


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("server", ["gateway", "kafka"])
def test_page_writes_and_reads_nothing_through_gateway_and_kafka(
    gateway: Target, gateway_settings: KafkaSettings, tmp_path: Path, vector: str, server: str
) -> None:
    port = gateway.port if server == "gateway" else int(gateway_settings.bootstrap_servers.rpartition(":")[2])
    topics = Topics(gateway_settings.topic_prefix)
    before = {topic: logs.ends(gateway_settings, topic) for topic in (topics.items, topics.identifies)}
    with (
        RecordingProxy(port) as proxy,
        browser.send(
            vector, f"http://127.0.0.1:{proxy.port}/event/batch?id={tmp_path.name}", tmp_path / "profile", body=BATCH
        ),
    ):
        _, received = browser.wait_for(proxy, tmp_path.name)

    assert b"access-control-allow" not in received.lower()
    if server == "gateway":
        assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 ", b"HTTP/1.1 405 ", b"HTTP/1.1 415 ")), received
    else:
        assert received == b""
    assert {topic: logs.ends(gateway_settings, topic) for topic in before} == before


def _url(port: int, written: Path, *, login: str = "") -> str:
    query = urlencode({"query": f"SELECT 1 INTO OUTFILE '{written}'"})
    return f"http://{login}127.0.0.1:{port}/?{query}"


def _port(service: services.Service) -> int:
    return int(service.address.rpartition(":")[2])
