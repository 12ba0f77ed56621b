"""The pipeline under test: `sequence up` with two of each service, on its own ports."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import psutil
import requests

from deploy.local.passwords import WRITER_FILE
from processors.settings import WORKERS
from schemas.settings import KafkaSettings, environment
from tests.faults import merges, networks
from tests.faults.log_lines import EXIT, KILLED, READY, RESTARTING
from tests.faults.up import WORKERS_CLICKHOUSE, hold_file
from tests.support.insert_proxy import InsertProxy
from tests.support.services import alive, eventually, free_ports

START_SECONDS = 0.5
"""Time from the start of a service until its PID file exists."""


class Stack:
    """One `sequence up`, stopped with the block. With *proxied*, workers reach ClickHouse through `proxy`."""

    def __init__(
        self, directory: Path, environ: Mapping[str, str] | None = None, *, each: int = 2, proxied: bool = False
    ) -> None:
        self.state = directory / "state"
        self.output = directory / "output"
        self._each = each
        self._brokers = int((environ or {}).get("SEQUENCE_LOCAL_BROKERS", "1"))
        kafka_port = free_ports(self._brokers + 1 + each)
        clickhouse_port, self._gateway_port = kafka_port + self._brokers, kafka_port + self._brokers + 1
        ports = {number + 1: kafka_port + number for number in range(self._brokers)}
        has_networks = networks.NETWORKS in (environ or {})
        brokers = networks.servers(ports) if has_networks else ",".join(f"127.0.0.1:{port}" for port in ports.values())
        self.kafka = KafkaSettings(bootstrap_servers=brokers)
        self.clickhouse = f"http://127.0.0.1:{clickhouse_port}"
        self._environ = {
            **os.environ,
            "SEQUENCE_STATE_DIR": str(self.state),
            "SEQUENCE_GATEWAY_PORT": str(self._gateway_port),
            "SEQUENCE_LOCAL_KAFKA_PORT": str(kafka_port),
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(clickhouse_port),
            "SEQUENCE_LOCAL_METRICS_PORT": str(free_ports(3 * each)),
            "SEQUENCE_CONSOLE_PORT": "0",
            "SEQUENCE_LOCAL_GATEWAYS": str(each),
            "SEQUENCE_LOCAL_WORKERS": str(each),
            "SEQUENCE_WORKER_SESSION_SECONDS": "6",
            # Several brokers share the machine, and none runs long enough to benefit from the second JIT compiler.
            "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1",
            **(environ or {}),
        }
        self.proxy = InsertProxy(self.clickhouse) if proxied else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the stack and return when every service is ready."""
        self.output.parent.mkdir(parents=True, exist_ok=True)
        if self.proxy is not None:
            self.proxy.__enter__()
            self._environ[WORKERS_CLICKHOUSE] = self.proxy.address
        with self.output.open("wb") as output:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.up", str(os.getpid())],
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(
                lambda: READY in self.output.read_text() or process.poll() is not None,
                f"the stack is ready: {self.output}",
                within_seconds=120,
            )
            assert process.poll() is None, self.output.read_text()
            merges.stop(self)
        except BaseException:
            self.stop()
            raise

    def set_environ(self, environ: Mapping[str, str]) -> None:
        """Add *environ* to the variables of the services; before the start."""
        self._environ.update(environ)

    def stop(self) -> None:
        """Stop the stack in order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.communicate(timeout=60)
            self._process = None
        if self.proxy is not None:
            self.proxy.__exit__()

    @property
    def token(self) -> str:
        """The development token."""
        return (self.state / "dev-token").read_text().strip()

    @property
    def password(self) -> str:
        """The password of ClickHouse's user `default`."""
        return (self.state / WRITER_FILE).read_text().strip()

    def sink_environ(self, url: str) -> dict[str, str]:
        """Return the variables with which a sink worker writes to the ClickHouse at *url*."""
        return {"SEQUENCE_CLICKHOUSE_URL": url, "SEQUENCE_CLICKHOUSE_PASSWORD": self.password}

    @property
    def gateways(self) -> list[str]:
        """The URL of each gateway."""
        return [f"http://127.0.0.1:{self._gateway_port + number}" for number in range(self._each)]

    def services(self, kind: str) -> list[str]:
        """Return the names of the services of *kind*: `gateway`, `dedupe`, `persons`, `sink`, `kafka`, `clickhouse`."""
        count = {"clickhouse": 1, "kafka": self._brokers}.get(kind, self._each)
        is_alone = kind in {"kafka", "clickhouse"} and count == 1
        return [kind] if is_alone else [f"{kind}-{number + 1}" for number in range(count)]

    def log(self, service: str) -> str:
        """Return the log of *service*."""
        return (self.state / "logs" / f"{service}.log").read_text(errors="replace")

    def pid(self, service: str) -> int:
        """Return the process ID of *service*; wait for it while the service is being restarted."""
        file = self.state / "run" / f"{service}.pid"
        eventually(file.exists, f"{service} has a PID file")
        return int(file.read_text())

    def running(self, service: str) -> int | None:
        """Return the process ID of *service*, or None while it is being restarted."""
        try:
            pid = int((self.state / "run" / f"{service}.pid").read_text())
        except FileNotFoundError:
            return None
        return pid if alive(pid) else None

    def send_signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to the process *pid*, if it still exists."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def signal(self, service: str, number: signal.Signals) -> int:
        """Send a signal to *service* and return its process ID; wait while the service is being restarted."""
        sent: list[int] = []

        def send() -> bool:
            pid = self.pid(service)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return False
            sent.append(pid)
            return True

        eventually(send, f"{service} runs")
        return sent[0]

    def kill(self, service: str) -> None:
        """`kill -9` *service*; the supervisor restarts it."""
        self.signal(service, signal.SIGKILL)

    @contextlib.contextmanager
    def held(self, *services: str) -> Iterator[None]:
        """`kill -9` *services* and keep them from running for the block."""
        files = [hold_file(self.state, service) for service in services]
        for file in files:
            file.parent.mkdir(exist_ok=True)
            file.touch()
        try:
            self._kill_all(services)
            yield
        finally:
            for file in files:
                file.unlink()

    def _kill_all(self, services: Sequence[str]) -> None:
        """`kill -9` each of *services* that runs; one that waits for another to start is killed when it has started."""
        pids = {service: self.running(service) for service in services}
        if None in pids.values():
            time.sleep(START_SECONDS)
            pids |= {service: self.running(service) for service, pid in pids.items() if pid is None}
        known = [pid for pid in pids.values() if pid is not None]
        for pid in known:
            self.send_signal(pid, signal.SIGKILL)
        eventually(lambda: not any(map(alive, known)), f"{services} are killed")

    @property
    def clickhouse_directory(self) -> Path:
        """The directory of ClickHouse's data."""
        return self.state / "clickhouse"

    def environ(self, *, prefix: str | None = None) -> dict[str, str]:
        """Return the variables with which the product's commands reach Kafka and ClickHouse of this stack."""
        kafka = self.kafka if prefix is None else replace(self.kafka, topic_prefix=prefix)
        return {**os.environ, **environment(kafka), **self.sink_environ(self.clickhouse)}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `sequence` with *arguments* on this stack and return what it printed; it may fail."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *arguments],
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def local_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `sequence` with *arguments* as on the machine of the local stack; it may fail."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *arguments],
            env=self.local_environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    @property
    def local_environ(self) -> Mapping[str, str]:
        """The variables of the stack itself."""
        return self._environ

    @property
    def metrics_ports(self) -> list[int]:
        """The ports with metrics: those of the gateways and of the workers."""
        first = int(self._environ["SEQUENCE_LOCAL_METRICS_PORT"])
        gateways = [self._gateway_port + number for number in range(self._each)]
        return [*gateways, *range(first, first + 3 * self._each)]

    def kills(self) -> int:
        """Return how often the supervisor restarted a service after SIGKILL."""
        return self.output.read_text().count(f"{KILLED}{RESTARTING}")

    def stopped(self) -> set[int]:
        """Return the process IDs of the services that are suspended by SIGSTOP."""
        found = set()
        for file in (self.state / "run").glob("*.pid"):
            with contextlib.suppress(psutil.Error, OSError, ValueError):
                pid = int(file.read_text())
                if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                    found.add(pid)
        return found

    def self_exits(self) -> list[str]:
        """Return the log lines with which workers exited by themselves."""
        logs = [self.log(service) for kind in WORKERS for service in self.services(kind)]
        return [line for log in logs for line in log.splitlines() if f"{EXIT}{os.EX_SOFTWARE}" in line]

    def query(self, sql: str, *, within_seconds: float = 60.0) -> list[dict[str, object]]:
        """Return the rows of *sql*; retry while ClickHouse is being restarted, *within_seconds* in all."""
        responses: list[requests.Response] = []

        def ask() -> bool:
            try:
                response = requests.post(
                    self.clickhouse,
                    params={"default_format": "JSONEachRow"},
                    data=sql.encode(),
                    auth=("default", self.password),
                    timeout=within_seconds,
                )
            except requests.RequestException:
                return False
            responses.append(response)
            return True

        eventually(ask, "ClickHouse responds", within_seconds=within_seconds)
        assert responses[-1].ok, responses[-1].text
        return [orjson.loads(line) for line in responses[-1].content.splitlines()]
