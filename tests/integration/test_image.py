"""The image and its commands on real servers; where a Docker engine answers, its build and the compose file as well."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.probes import GroupProbe
from processors.workers import WORKERS
from schemas.settings import KafkaSettings, kafka_arguments
from tests.support.containers import COMPOSE_FILE, DOCKERFILE, ROOT, health_command, service_command
from tests.support.image import Image, build
from tests.support.services import Service, docker_answers, free_port, running


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
    with closing(HTTPConnection(urlsplit(clickhouse).netloc, timeout=10)) as connection:
        connection.request("POST", "/", f"DROP DATABASE IF EXISTS {database}")
        connection.getresponse().read()


async def delete_topics(settings: KafkaSettings) -> None:
    admin = AIOKafkaAdminClient(**kafka_arguments(settings))
    try:
        await admin.start()
        prefix = f"{settings.topic_prefix}."
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(prefix)])
    finally:
        await admin.close()


def test_services_of_the_compose_file_start_in_their_order(
    image: Image, changes: dict[str, str], tmp_path: Path
) -> None:
    outputs = [image.run(service_command("init"), image.environ("init", changes)) for _ in range(2)]
    assert [output.returncode for output in outputs] == [0, 0], outputs[0].stderr
    token = (tmp_path / "dev-token").read_text().strip()
    assert all(f"Token of project 'dev': {token}\n" in output.stdout for output in outputs)
    assert "Topic" not in outputs[1].stdout, "another run changes nothing"

    for name in ("gateway", *WORKERS):
        environ = image.environ(name, changes | {"SEQUENCE_WORKER_DIR": str(tmp_path / "state" / name)})
        command = image.command(service_command(name), environ)
        is_ready = health_check(image, environ) if name == "gateway" else joined(name, changes)
        with running(Service(name, tmp_path / name, name, lambda command=command: command, {}, is_ready)) as service:  # type: ignore[misc]  # of a default argument
            process = service.process
            service.stop()
        assert process is not None
        assert process.returncode == 0, (tmp_path / name / "log").read_text()[-2000:]


def health_check(image: Image, environ: dict[str, str]) -> Callable[[], bool]:
    """Return a condition that holds when the image's health check succeeds."""
    return lambda: image.run(health_command(), environ).returncode == 0


def joined(worker: str, changes: dict[str, str]) -> Callable[[], bool]:
    """Return a condition that holds once *worker* has joined its consumer group."""
    probe = GroupProbe(changes["SEQUENCE_KAFKA_SERVERS"], f"{changes['SEQUENCE_TOPIC_PREFIX']}-{worker}", 1)
    return lambda: asyncio.run(probe.ready())


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
