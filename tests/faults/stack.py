"""The whole pipeline under test: `sequence up` with two of each part, on ports of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
import psutil
import requests

from schemas.settings import KafkaSettings
from tests.faults.up import WORKERS_CLICKHOUSE
from tests.support.insert_proxy import InsertProxy
from tests.support.services import alive, eventually, free_ports

READY = "Query them:"


class Stack:
    """One `sequence up`; ends with the test, and its parts with it. *proxied* workers reach ClickHouse by `proxy`."""

    def __init__(
        self, directory: Path, environ: Mapping[str, str] | None = None, *, each: int = 2, proxied: bool = False
    ) -> None:
        self.state = directory / "state"
        self.output = directory / "output"
        self._each = each
        kafka_port = free_ports(2 + each)
        clickhouse_port, self._gateway_port = kafka_port + 1, kafka_port + 2
        self.kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{kafka_port}")
        self.clickhouse = f"http://127.0.0.1:{clickhouse_port}"
        self._environ = {
            **os.environ,
            "SEQUENCE_STATE_DIR": str(self.state),
            "SEQUENCE_GATEWAY_PORT": str(self._gateway_port),
            "SEQUENCE_LOCAL_KAFKA_PORT": str(kafka_port),
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(clickhouse_port),
            "SEQUENCE_LOCAL_GATEWAYS": str(each),
            "SEQUENCE_LOCAL_WORKERS": str(each),
            "SEQUENCE_WORKER_SESSION_SECONDS": "6",
            # Several brokers share the machine, and none lives long enough to gain from its second compiler.
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
        """Start it and return when every part is ready."""
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
        except BaseException:
            self.stop()
            raise
        # What the tests count must not be the work of merges.
        for table in ("events", "identifies", "person_states"):
            self.query(f"SYSTEM STOP MERGES {table}")

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None
        if self.proxy is not None:
            self.proxy.__exit__()

    @property
    def token(self) -> str:
        """The development token."""
        return (self.state / "dev-token").read_text().strip()

    @property
    def gateways(self) -> list[str]:
        """The address of each gateway."""
        return [f"http://127.0.0.1:{self._gateway_port + number}" for number in range(self._each)]

    def parts(self, kind: str) -> list[str]:
        """Return the names of the parts of *kind*: `gateway`, `dedupe`, `persons`, `sink`, `kafka`, `clickhouse`."""
        return (
            [f"{kind}-{number + 1}" for number in range(self._each)] if kind not in {"kafka", "clickhouse"} else [kind]
        )

    def log(self, part: str) -> str:
        """Return what *part* has printed lately."""
        return (self.state / "logs" / f"{part}.log").read_text(errors="replace")

    def pid(self, part: str) -> int:
        """Return the process id of *part*, waiting for one that is being started."""
        file = self.state / "run" / f"{part}.pid"
        eventually(file.exists, f"{part} has a process")
        return int(file.read_text())

    def running(self, part: str) -> int | None:
        """Return the process id of *part*, None while it is between two lives."""
        try:
            pid = int((self.state / "run" / f"{part}.pid").read_text())
        except FileNotFoundError:
            return None
        return pid if alive(pid) else None

    def tell(self, pid: int, number: signal.Signals) -> None:
        """Send the process *pid* a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def signal(self, part: str, number: signal.Signals) -> int:
        """Send *part* a signal and return its process id; a part that is between two lives is waited for."""
        sent: list[int] = []

        def send() -> bool:
            pid = self.pid(part)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return False
            sent.append(pid)
            return True

        eventually(send, f"{part} runs")
        return sent[0]

    def kill(self, part: str) -> None:
        """`kill -9` *part*; the supervisor starts it again."""
        self.signal(part, signal.SIGKILL)

    def kills(self) -> int:
        """Return how often a part was ended by `kill -9` and has been started again."""
        return self.output.read_text().count(" was ended by signal 9; it starts again in ")

    def stopped(self) -> set[int]:
        """Return the process ids of the parts that stand still after SIGSTOP."""
        found = set()
        for file in (self.state / "run").glob("*.pid"):
            with contextlib.suppress(psutil.Error, OSError, ValueError):
                pid = int(file.read_text())
                if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                    found.add(pid)
        return found

    def own_ends(self) -> list[str]:
        """Return why workers have ended themselves."""
        logs = [self.log(part) for kind in ("dedupe", "persons", "sink") for part in self.parts(kind)]
        return [line for log in logs for line in log.splitlines() if "ending the process: " in line]

    def query(self, sql: str) -> list[dict[str, object]]:
        """Return the rows of *sql*, asking again while ClickHouse is being restarted."""
        answers: list[requests.Response] = []

        def ask() -> bool:
            try:
                answer = requests.post(
                    self.clickhouse, params={"default_format": "JSONEachRow"}, data=sql.encode(), timeout=60
                )
            except requests.RequestException:
                return False
            answers.append(answer)
            return True

        eventually(ask, "ClickHouse answers")
        assert answers[-1].ok, answers[-1].text
        return [orjson.loads(line) for line in answers[-1].content.splitlines()]
