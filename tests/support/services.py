"""Real Kafka and ClickHouse servers for tests.

A server comes from the first of: the address in SEQUENCE_TEST_KAFKA or SEQUENCE_TEST_CLICKHOUSE, a container where a
Docker engine answers, the embedded server of `sequence up`. A missing server fails a test; it never skips one.

A test that stops, kills or pauses a server starts its own with `embedded_kafka` or `embedded_clickhouse`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import monotonic, sleep

import psutil
from testcontainers.community.kafka import KafkaContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy

from deploy.embedded import kafka_jars
from deploy.embedded.kafka import Broker, jars_directory
from deploy.local import parent_death, probes
from deploy.settings import LocalSettings, cache_directory
from schemas.settings import ClickHouseSettings, load
from tests.support.docker_engine import docker_answers
from tests.support.kafka_cache import make_cache

WRITER_PASSWORD = secrets.token_hex(16)
ANALYST_PASSWORD = secrets.token_hex(16)
"""Passwords of the embedded ClickHouse servers of this process."""
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.8"
MAY_MANAGE_USERS = b"""\
<clickhouse><users><default><access_management>1</access_management></default></users></clickhouse>
"""


PORTS = range(15_000, 31_000)
PORT_RANGES = 8
PORTS_PER_RANGE = len(PORTS) // PORT_RANGES
LEAST_PAUSE_SECONDS = 0.05
PAUSE_RATIO = 3
"""How many times as long as its look a pause of `eventually` is at least."""
_used_ports: set[int] = set()
"""Ports that this process has returned before: a server may not listen yet."""


def eventually(
    condition: Callable[[], bool],
    what: str,
    *,
    within_seconds: float = 60.0,
    every_seconds: float | None = None,
    output: Callable[[], str] = str,
) -> None:
    """Wait until *condition* holds; after *within_seconds*, raise AssertionError with *what* and the *output*.

    Looking takes a quarter of the time at most, because what the test waits for needs the processors. A test that looks
    for a state which passes gives the pause itself.
    """
    deadline = monotonic() + within_seconds
    while True:
        began = monotonic()
        if condition():
            return
        ended = monotonic()
        if ended > deadline:
            raise AssertionError(f"not within {within_seconds:g} s: {what}\n{output()}".rstrip())
        pause = max(LEAST_PAUSE_SECONDS, PAUSE_RATIO * (ended - began)) if every_seconds is None else every_seconds
        # The last look is at the deadline.
        sleep(min(pause, deadline - ended + LEAST_PAUSE_SECONDS))


def alive(pid: int) -> bool:
    """Return whether process *pid* runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """Return a port that no process listens on."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of *count* consecutive ports that no process listens on.

    The ports lie below the range of outgoing connections. Each pytest worker draws from its own part of them, at random
    for test runs side by side on one machine, and never the same port twice.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PORT_RANGES
    start = PORTS.start + worker * PORTS_PER_RANGE
    while True:
        first = random.randrange(start, start + PORTS_PER_RANGE - count)
        ports = set(range(first, first + count))
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            if ports & _used_ports:
                continue
            for port in ports:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            _used_ports.update(ports)
            return first


@dataclass
class Service:
    """A server process. The parent-death watchdog ends it when the test run ends in any way."""

    name: str
    directory: Path
    address: str
    command: Callable[[], list[str]]
    environ: Mapping[str, str]
    is_ready: Callable[[], bool]
    working_directory: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Process id of the server itself."""
        return int((self.directory / "pid").read_text())

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "pid").unlink(missing_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = process = subprocess.Popen(
                parent_death.arguments(self.directory / "pid", self.command()),
                env={**os.environ, **self.environ},
                cwd=self.working_directory,
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
        """Send SIGKILL and wait for the end."""
        self.send(signal.SIGKILL)
        self._wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server itself."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after 15 s; do nothing when the server does not run."""
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


@cache
def fetched_jars() -> Path:
    """Return the directory of Kafka's jar files, complete and with Java's cache of their classes."""
    local = load(LocalSettings)
    directory = jars_directory(cache_directory(local))
    with only_process(directory.with_name(f"{directory.name}.lock")):
        missing = kafka_jars.missing(directory, kafka_jars.listed())
        kafka_jars.fetch(directory, missing, repository=local.maven_repository)
        make_cache(directory)
    return directory


def embedded_kafka(directory: Path, port: int | None = None) -> Service:
    """Return the broker of `sequence up` with its data in *directory*, not yet started."""
    port = port or free_port()
    broker = Broker(directory / "kafka", port, fetched_jars())
    broker.format(os.environ)
    address = f"127.0.0.1:{port}"
    return Service(
        "Kafka", directory, address, broker.command, broker.environ(), lambda: kafka_answers(address), broker.directory
    )


def embedded_clickhouse(directory: Path, port: int | None = None) -> Service:
    """Return the ClickHouse server of `sequence up` with its data in *directory*, not yet started.

    Its address has the login of the writer.
    """
    port = port or free_port()
    url = f"http://default:{WRITER_PASSWORD}@127.0.0.1:{port}"
    environ = {
        "SEQUENCE_STATE_DIR": str(directory),
        "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(port),
        "SEQUENCE_LOCAL_CLICKHOUSE_PASSWORD": WRITER_PASSWORD,
        "SEQUENCE_LOCAL_ANALYST_PASSWORD": ANALYST_PASSWORD,
    }

    def command() -> list[str]:
        return [sys.executable, "-m", "deploy.embedded.clickhouse"]

    return Service("ClickHouse", directory, url, command, environ, lambda: clickhouse_answers(url))


def clickhouse_settings(url: str, database: str = "sequence") -> ClickHouseSettings:
    """Return the settings of a process that writes to *database* of the server at *url*, which can have a login."""
    address = {"SEQUENCE_CLICKHOUSE_URL": url, "SEQUENCE_CLICKHOUSE_DATABASE": database}
    if url == os.environ.get("SEQUENCE_TEST_CLICKHOUSE"):
        address["SEQUENCE_CLICKHOUSE_CLUSTER"] = os.environ.get("SEQUENCE_TEST_CLICKHOUSE_CLUSTER", "")
    return load(ClickHouseSettings, address)


def kafka_answers(address: str) -> bool:
    """Return whether a broker at *address* answers with its registration."""
    return asyncio.run(probes.KafkaProbe(address).ready())


def clickhouse_answers(url: str) -> bool:
    """Return whether a ClickHouse at *url* answers."""
    return asyncio.run(probes.HttpProbe(f"{url}/ping").ready())


@contextlib.contextmanager
def only_process(lock: Path) -> Iterator[None]:
    """Let one process at a time into the block: pytest workers share the cache of downloaded files."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
    """Yield the HTTP address of a ClickHouse, with a login if one is needed."""
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
    """Run *service* for the block."""
    service.start()
    try:
        yield service
    finally:
        service.stop()
