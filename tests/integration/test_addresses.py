"""The whole pipeline on addresses as people write them: IPv6 brokers, ClickHouse behind a path with TLS, proxies."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
import trustme
from click.testing import CliRunner

from deploy.cli import main
from deploy.embedded.kafka import Broker
from processors.clickhouse.client import ClickHouse
from processors.settings import WORKERS
from schemas.addresses import http_url
from schemas.settings import ClickHouseSettings, KafkaSettings, environment, load
from schemas.topics import Topics
from tests.integration.served import identify, track
from tests.integration.test_gateway_process import gateway
from tests.support.http_proxies import ForwardProxy, ReverseProxy
from tests.support.services import (
    Service,
    clickhouse_settings,
    eventually,
    fetched_jars,
    free_port,
    kafka_answers,
    running,
)
from tests.support.worker_process import Worker

EACH = 20
"""Items of each type in a request."""


class IPv6Broker(Broker):
    """The embedded broker with its clients' listener on IPv6 loopback alone."""

    def properties(self, *, controller_port: int) -> dict[str, str]:
        """Return the broker's configuration."""
        ipv4, ipv6 = f"PLAINTEXT://127.0.0.1:{self.port}", f"PLAINTEXT://[::1]:{self.port}"
        properties = super().properties(controller_port=controller_port)
        return {name: value.replace(ipv4, ipv6) for name, value in properties.items()}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """Address of a broker that listens on IPv6 only."""
    embedded = IPv6Broker(tmp_path / "kafka", free_port(), fetched_jars())
    embedded.format(os.environ)
    address = f"[::1]:{embedded.port}"
    service = Service(
        "Kafka",
        tmp_path,
        address,
        embedded.command,
        embedded.environ(),
        lambda: kafka_answers(address),
        embedded.directory,
    )
    with running(service):
        yield address


@pytest.fixture
def failing_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    """A proxy that answers 502, in every variable that names one."""
    with ForwardProxy() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy.address}")
            monkeypatch.setenv(name.lower(), f"http://{proxy.address}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield proxy


@pytest.fixture
def clickhouse_url(clickhouse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a ClickHouse behind a path, with TLS of a private CA and a login."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SEQUENCE_CLICKHOUSE_CA_FILE", str(tmp_path / "ca.pem"))
    server = clickhouse_settings(clickhouse)
    login = f"{quote(server.username)}:{quote(server.password)}"
    with ReverseProxy(http_url(clickhouse).without_login, "/clickhouse/", context) as proxy:
        yield f"https://{login}@localhost:{proxy.port}/clickhouse/"
        assert proxy.requests > 0


def run(environ: dict[str, str], *arguments: str) -> str:
    """Run `sequence` and return what it printed."""
    result = CliRunner().invoke(main, list(arguments), env=environ)
    assert result.exit_code == 0, result.output
    return result.output


def test_items_sent_over_both_ip_versions_arrive_once(
    broker: str, clickhouse_url: str, tmp_path: Path, failing_proxy: ForwardProxy
) -> None:
    kafka = load(KafkaSettings, {"SEQUENCE_KAFKA_SERVERS": f" {broker} ,", "SEQUENCE_TOPIC_PREFIX": "addresses"})
    tables = {"SEQUENCE_CLICKHOUSE_URL": clickhouse_url, "SEQUENCE_CLICKHOUSE_DATABASE": "addresses"}
    environ = environment(kafka) | tables
    assert Topics(kafka.topic_prefix).items in run(environ, "topics", "apply")
    assert run(environ, "topics", "apply") == "Topics are up to date.\n"
    assert run(environ, "tables", "migrate").startswith("To apply: 0001_")
    run(environ, "project", "create", "dev")
    token = run(environ, "token", "create", "dev").strip()

    with ExitStack() as workers:
        for kind in WORKERS:
            workers.enter_context(Worker(kind, kafka, tmp_path / kind, environ=tables))
        asyncio.run(send_over_both_versions(kafka, token))
        expected = {"events": 2 * EACH, "identifies": 2 * EACH, "persons": 1}
        eventually(lambda: counts(tables) == expected, f"{expected} rows, not {counts(tables)}")
    assert failing_proxy.heads == []


async def send_over_both_versions(kafka: KafkaSettings, token: str) -> None:
    async with gateway(kafka, SEQUENCE_GATEWAY_HOST="::") as listening:
        assert listening.url.startswith("http://[::]:")
        for host in ("127.0.0.1", "[::1]"):
            await send(listening.url.replace("[::]", host), token)


async def send(url: str, token: str) -> None:
    items = [track() for _ in range(EACH)] + [identify() for _ in range(EACH)]
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/event/batch", json={"batch": items}, headers=headers) as reply,
    ):
        assert (reply.status, (await reply.json())["accepted"]) == (200, 2 * EACH)


def counts(tables: dict[str, str]) -> dict[str, int]:
    """Return the number of rows of each table."""
    ca_file = {"SEQUENCE_CLICKHOUSE_CA_FILE": os.environ["SEQUENCE_CLICKHOUSE_CA_FILE"]}
    clickhouse = ClickHouse(load(ClickHouseSettings, tables | ca_file))
    try:
        return {
            name: int(clickhouse.query(f"SELECT count() AS rows FROM {name}")[0]["rows"])  # noqa: S608  # our own names
            for name in ("events", "identifies", "persons")
        }
    finally:
        clickhouse.close()
