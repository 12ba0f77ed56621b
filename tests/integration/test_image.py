"""The commands of the image and of the compose file on real servers; with a Docker engine, the build of the image."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.embedded.kafka import Broker, jars_directory
from deploy.local.probes import GroupProbe
from deploy.settings import LocalSettings, cache_directory
from processors.workers import WORKERS
from schemas.settings import KafkaSettings, kafka_arguments, load
from tests.support.containers import COMPOSE_FILE, DOCKERFILE, ROOT, health_command, service_command, services
from tests.support.image import Image, build
from tests.support.services import Service, docker_answers, eventually, free_port, kafka_answers, running


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def changes(kafka_settings: KafkaSettings, clickhouse: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Addresses and directories of this machine; topics and tables are dropped afterwards."""
    database = f"image_{secrets.token_hex(4)}"
    yield {
        "SEQUENCE_KAFKA_SERVERS": kafka_settings.bootstrap_servers,
        "SEQUENCE_TOPIC_PREFIX": kafka_settings.topic_prefix,
        "SEQUENCE_CLICKHOUSE_URL": clickhouse,
        "SEQUENCE_CLICKHOUSE_USERNAME": "default",
        "SEQUENCE_CLICKHOUSE_PASSWORD": "",
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "",  # the embedded server manages no users
        "SEQUENCE_CLICKHOUSE_DATABASE": database,
        "SEQUENCE_STATE_DIR": str(tmp_path),
        "SEQUENCE_GATEWAY_HOST": "127.0.0.1",
        "SEQUENCE_GATEWAY_PORT": str(free_port()),
    }
    asyncio.run(delete_topics(kafka_settings))
    query(clickhouse, f"DROP DATABASE IF EXISTS {database}")


@pytest.fixture
def pipeline(image: Image, changes: dict[str, str], tmp_path: Path) -> Iterator[dict[str, Service]]:
    """The services of the compose file, started in its order."""
    outputs = [image.run(service_command("init"), image.environ("init", changes)) for _ in range(2)]
    assert [output.returncode for output in outputs] == [0, 0], outputs[0].stderr
    token = (tmp_path / "dev-token").read_text().strip()
    assert all(f"Token of project 'dev': {token}\n" in output.stdout for output in outputs)
    assert "Topic" not in outputs[1].stdout, "another run changes nothing"
    started = {name: service(image, name, changes, tmp_path) for name in ("gateway", *WORKERS)}
    with ExitStack() as stack:
        for one in started.values():
            stack.enter_context(running(one))
        yield started


def service(image: Image, name: str, changes: dict[str, str], directory: Path) -> Service:
    """Return *name* of the compose file; the image's health check tells when a gateway is ready."""
    environ = image.environ(name, changes | {"SEQUENCE_WORKER_DIR": str(directory / "state" / name)})

    def is_healthy() -> bool:
        return image.run(health_command(), environ).returncode == 0

    def command() -> list[str]:
        return image.command(service_command(name), environ)

    return Service(name, directory / name, name, command, {}, is_healthy if name == "gateway" else joins(name, changes))


def joins(worker: str, changes: dict[str, str]) -> Callable[[], bool]:
    """Return a condition that holds once *worker* has joined its consumer group."""
    probe = GroupProbe(changes["SEQUENCE_KAFKA_SERVERS"], f"{changes['SEQUENCE_TOPIC_PREFIX']}-{worker}", 1)
    asyncio.run(probe.prepare())
    return lambda: asyncio.run(probe.ready())


def post(port: str, token: str, body: object) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(HTTPConnection("127.0.0.1", int(port), timeout=10)) as connection:
        connection.request("POST", "/event/batch", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def query(url: str, sql: str) -> str:
    address = urlsplit(url)
    with closing(HTTPConnection(address.hostname or "", address.port, timeout=10)) as connection:
        connection.request("POST", "/", sql)
        return connection.getresponse().read().decode()


async def delete_topics(settings: KafkaSettings) -> None:
    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    try:
        await admin.start()
        prefix = f"{settings.topic_prefix}."
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
    finally:
        await admin.close()


def test_event_passes_through_the_services_of_the_compose_file(
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
    events = f"SELECT user_id, event, properties.price FROM {database}.events FORMAT CSV"  # noqa: S608  # our own names
    persons = f"SELECT user_id, traits.plan FROM {database}.persons FORMAT CSV"  # noqa: S608  # our own names
    url = changes["SEQUENCE_CLICKHOUSE_URL"]
    eventually(lambda: query(url, events) == '"ada","Order Completed",42.5\n', "the event is in ClickHouse")
    eventually(lambda: query(url, persons) == '"ada","pro"\n', "the person is in ClickHouse")
    for one in pipeline.values():
        process = one.process
        assert process is not None
        one.stop()
        assert process.returncode == 0, (one.directory / "log").read_text()[-2000:]


def test_health_check_without_a_gateway_fails_with_the_reason(image: Image) -> None:
    port = str(free_port())

    done = image.run(health_command(), image.environ("gateway", {"SEQUENCE_GATEWAY_PORT": port}))

    assert done.returncode == 1
    assert f"no answer on port {port}" in done.stdout


def test_init_reports_every_invalid_setting(image: Image) -> None:
    wrong = {"SEQUENCE_PARTITIONS": "none", "SEQUENCE_LOG_LEVEL": "loud"}

    done = image.run(service_command("init"), image.environ("init", wrong))

    assert done.returncode == 2
    assert "SEQUENCE_PARTITIONS: " in done.stderr
    assert "SEQUENCE_LOG_LEVEL: " in done.stderr


def test_up_in_the_image_names_the_extra_that_is_missing(image: Image) -> None:
    done = image.run(["sequence", "up"], image.environ("gateway", {}))

    assert done.returncode == 1
    assert "pip install 'sequence-events[local]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(1200)
def test_image_builds_and_shows_its_version(image: Image) -> None:
    if docker_answers():
        for command in (
            ["docker", "compose", "--file", str(COMPOSE_FILE), "config", "--quiet"],
            ["docker", "build", "--file", str(DOCKERFILE), "--tag", "sequence-events:test", str(ROOT)],
        ):
            subprocess.run(command, check=True, timeout=1000)
        done = subprocess.run(
            ["docker", "run", "--rm", "sequence-events:test", "--version"], capture_output=True, text=True, check=False
        )
    else:
        done = image.run(["sequence", "--version"], image.environ("gateway", {}))

    assert done.returncode == 0, done.stderr
    assert "0.1.0" in done.stdout


@dataclass(frozen=True, slots=True)
class ComposeBroker(Broker):
    """A broker with the configuration of the compose file, on ports of this machine."""

    inside: int = 0
    outside: int = 0

    def properties(self, *, controller_port: int) -> dict[str, str]:
        """Return the configuration that the image of Kafka makes of the compose file's variables."""
        moved = {"kafka:19092": f"127.0.0.1:{self.inside}", "0.0.0.0": "127.0.0.1", ":29093": f":{controller_port}"}  # noqa: S104  # replaced
        moved |= {":19092": f":{self.inside}", ":9092": f":{self.outside}"}
        found: dict[str, str] = {}
        for name, value in services()["kafka"]["environment"].items():
            for given, here in moved.items():
                value = value.replace(given, here)  # noqa: PLW2901  # one replacement after another
            found[name.removeprefix("KAFKA_").lower().replace("_", ".")] = value
        return found | {"log.dirs": str(self.directory / "data")}


def test_kafka_of_the_compose_file_answers_on_both_listeners(tmp_path: Path) -> None:
    jars = jars_directory(cache_directory(load(LocalSettings)))
    broker = ComposeBroker(tmp_path, 0, jars, inside=free_port(), outside=free_port())
    broker.format({})
    inside, outside = f"127.0.0.1:{broker.inside}", f"127.0.0.1:{broker.outside}"

    kafka = Service("Kafka", tmp_path, inside, broker.command, broker.environ(), lambda: kafka_answers(inside))
    with running(kafka):
        assert kafka_answers(outside)
