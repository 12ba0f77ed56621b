"""Kafka and ClickHouse for tests, always real: given by address, in containers, or the embedded ones.

Which it is: an address in SEQUENCE_TEST_KAFKA or SEQUENCE_TEST_CLICKHOUSE; otherwise a container, where a Docker engine
answers; otherwise what `sequence up` runs. A test never skips because a server is missing.

Tests that stop, kill or pause a server take one of their own: `embedded_kafka` and `embedded_clickhouse`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import monotonic, sleep

import docker
import psutil
from docker.errors import DockerException
from testcontainers.community.kafka import KafkaContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy

from deploy.embedded import kafka_jars
from deploy.embedded.kafka import Broker, jars_directory
from deploy.local import parent_death, probes
from deploy.settings import LocalSettings, cache_directory
from schemas.settings import load

CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.8"
MAY_MANAGE_USERS = b"""\
<clickhouse><users><default><access_management>1</access_management></default></users></clickhouse>
"""


def eventually(
    condition: Callable[[], bool], what: str, *, within_seconds: float = 60.0, every_seconds: float = 0.05
) -> None:
    """Return once *condition* holds; fail with *what* was waited for when it does not in time."""
    deadline = monotonic() + within_seconds
    while not condition():
        if monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds:g} s: {what}")
        sleep(every_seconds)


def alive(pid: int) -> bool:
    """Return whether process *pid* runs; one that is dead and not yet waited for does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def free_ports(count: int) -> int:
    """Return the first of *count* consecutive ports that nobody listens on now.

    They lie below those that the system gives to outgoing connections, and where depends on chance: several test runs
    on one machine seldom choose the same.
    """
    while True:
        first = random.randrange(15_000, 30_000, 10)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


@dataclass
class Service:
    """A server as a process of its own, on a leash: it ends with the test run, whatever happens to that."""

    name: str
    directory: Path
    address: str
    command: Callable[[], list[str]]
    environ: Mapping[str, str]
    is_ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Process id of the server itself."""
        return int((self.directory / "pid").read_text())

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "pid").unlink(missing_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = process = subprocess.Popen(
                parent_death.arguments(self.directory / "pid", self.command()),
                env={**os.environ, **self.environ},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            eventually(lambda: process.poll() is not None or self.is_ready(), f"{self.name} answers")
            assert process.poll() is None, f"{self.name} ended: {(self.directory / 'log').read_text()[-2000:]}"
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """End it with `kill -9`."""
        self.send(signal.SIGKILL)
        self._wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP and SIGCONT."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """End it in order, by force where that takes longer than 15 s; does nothing when it does not run."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        self._wait()

    def _wait(self) -> None:
        assert self.process is not None
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(15)
        self.process = None


def embedded_kafka(directory: Path, port: int | None = None) -> Service:
    """Return the broker of `sequence up`, with its data in *directory*; it is not started yet."""
    port = port or free_port()
    local = load(LocalSettings)
    jar_files = jars_directory(cache_directory(local))
    kafka_jars.fetch(jar_files, kafka_jars.missing(jar_files, kafka_jars.listed()), repository=local.maven_repository)
    broker = Broker(directory / "kafka", port, jar_files)
    broker.format(os.environ)
    address = f"127.0.0.1:{port}"
    return Service("Kafka", directory, address, broker.command, broker.environ(), lambda: kafka_answers(address))


def embedded_clickhouse(directory: Path, port: int | None = None) -> Service:
    """Return the ClickHouse front of `sequence up`, with its data in *directory*; it is not started yet."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    environ = {"SEQUENCE_STATE_DIR": str(directory), "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(port)}

    def command() -> list[str]:
        return [sys.executable, "-m", "deploy.embedded.clickhouse"]

    return Service("ClickHouse", directory, url, command, environ, lambda: clickhouse_answers(url))


def kafka_answers(address: str) -> bool:
    """Return whether a broker at *address* answers with its metadata."""

    return asyncio.run(probes.kafka_answers(address))


def clickhouse_answers(url: str) -> bool:
    """Return whether a ClickHouse at *url* answers."""
    return asyncio.run(probes.http_answers(f"{url}/ping"))


@contextlib.contextmanager
def kafka_server(directory: Path) -> Iterator[str]:
    """Yield the address of a broker."""
    if address := os.environ.get("SEQUENCE_TEST_KAFKA"):
        yield address
    elif docker_answers():
        container = KafkaContainer().with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        with container as kafka:
            yield kafka.get_bootstrap_server()
    else:
        with running(embedded_kafka(directory)) as service:
            yield service.address


@contextlib.contextmanager
def clickhouse_server(directory: Path) -> Iterator[str]:
    """Yield the HTTP address of a ClickHouse, whose user `default` has no password."""
    if url := os.environ.get("SEQUENCE_TEST_CLICKHOUSE"):
        yield url
    elif docker_answers():
        container = (
            DockerContainer(CLICKHOUSE_IMAGE)
            .with_env("CLICKHOUSE_SKIP_USER_SETUP", "1")
            .with_copy_into_container(MAY_MANAGE_USERS, "/etc/clickhouse-server/users.d/access.xml")
            .with_exposed_ports(8123)
            .waiting_for(HttpWaitStrategy(8123, "/ping"))
        )
        with container as clickhouse:
            yield f"http://{clickhouse.get_container_host_ip()}:{clickhouse.get_exposed_port(8123)}"
    else:
        with running(embedded_clickhouse(directory)) as service:
            yield service.address


@contextlib.contextmanager
def running(service: Service) -> Iterator[Service]:
    """Start *service* for the block and end it afterwards."""
    service.start()
    try:
        yield service
    finally:
        service.stop()


@cache
def docker_answers() -> bool:
    """Return whether a Docker engine is there."""
    try:
        client = docker.from_env(timeout=3)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except DockerException:
        return False
