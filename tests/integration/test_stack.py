"""`sequence up` as a user runs it: one command, real services, data that survives a restart."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.marks import in_make_faults
from tests.support.services import alive, eventually, free_port

SERVICES = {"kafka", "clickhouse", "gateway-1", "dedupe-1", "persons-1", "sink-1"}


class Stack:
    """One `sequence up` with its own state directory and ports."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.output = directory / "output"
        self.gateway = free_port()
        self.environ = {
            **os.environ,
            "SEQUENCE_STATE_DIR": str(self.state),
            "SEQUENCE_GATEWAY_PORT": str(self.gateway),
            "SEQUENCE_LOCAL_KAFKA_PORT": str(free_port()),
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(free_port()),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.process = up(self.environ, output)
        try:
            eventually(lambda: self.said("Query them:") or not self.is_up(), "the stack is ready", within_seconds=100)
            assert self.is_up(), self.output.read_text()
        except BaseException:
            self.kill()
            raise

    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def said(self, text: str) -> bool:
        return text in self.output.read_text()

    def pid(self, service: str) -> int:
        return int((self.state / "run" / f"{service}.pid").read_text())

    def processes(self) -> list[int]:
        """Every process of the stack, watchdogs included."""
        assert self.process is not None
        return [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))]

    def send(self, number: signal.Signals) -> int:
        """Send the stack a signal, wait for its end and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def kill(self) -> None:
        if self.is_up():
            self.send(signal.SIGKILL)

    def pasted(self, title: str) -> list[str]:
        """The command below *title*, as a shell would split it."""
        found = re.search(rf"{title}\n\n  (.*)\n", self.output.read_text())
        assert found is not None
        return shlex.split(found[1])

    def post(self, event: str) -> Any:
        """Send one track with the command to paste, under another event name."""
        command = self.pasted("Send events:")
        return json.loads(curl([word.replace("Order Completed", event) for word in command]))

    def rows(self, event: str) -> list[Any]:
        """The rows of *event*, with the command to paste."""
        answer = curl(self.pasted("Query them:"))
        return [row for row in map(json.loads, answer.splitlines()) if row["event"] == event]


def up(environ: dict[str, str], output: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "up", "--parent", str(os.getpid())],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def curl(command: list[str]) -> str:
    """Do what the curl command does, without curl; fail for other options than those of the quickstart."""
    program, *arguments = command
    assert program == "curl"
    url, data, headers = "", "", {"Content-Type": "application/x-www-form-urlencoded"}
    rest = iter(arguments)
    for argument in rest:
        if argument == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif argument in {"-d", "--data-binary"}:
            data = next(rest)
        elif argument != "-sS":
            assert argument.startswith("http://"), argument
            url = argument
    request = urllib.request.Request(url, data.encode(), headers)  # noqa: S310  # http by the check above
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # as above
        return bytes(response.read()).decode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    stack.start()
    yield stack
    stack.kill()


def new_event_name() -> str:
    return f"Tested {secrets.token_hex(4)}"


def wait_for_event(stack: Stack, event: str, *, within_seconds: float = 20) -> None:
    eventually(lambda: len(stack.rows(event)) > 0, f"{event} is in ClickHouse", within_seconds=within_seconds)


def test_every_service_runs_and_has_a_status_line(stack: Stack) -> None:
    ready = {line.split()[0] for line in stack.output.read_text().splitlines() if " ready " in line}

    assert ready == SERVICES
    assert all(alive(stack.pid(service)) for service in SERVICES)


def test_printed_commands_work_unchanged(stack: Stack) -> None:
    event = new_event_name()

    reply = stack.post(event)

    assert (reply["accepted"], reply["rejected"]) == (2, 0)
    wait_for_event(stack, event)
    (row,) = stack.rows(event)
    assert row["user_id"] == "ada"
    assert row["properties"]["price"] == 42.5


def test_development_token_is_readable_by_its_owner_only(stack: Stack) -> None:
    file = stack.state / "dev-token"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"Bearer {file.read_text().strip()}" in stack.pasted("Send events:")[4]


def test_second_stack_on_the_same_directory_is_rejected(stack: Stack) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "up"], env=stack.environ, capture_output=True, text=True, check=False
    )

    assert second.returncode == 1
    assert "SEQUENCE_STATE_DIR" in second.stderr
    assert stack.is_up()


def test_port_in_use_is_named_with_its_setting_before_any_service_starts(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path)
    other.environ["SEQUENCE_GATEWAY_PORT"] = str(stack.gateway)

    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "up"], env=other.environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert f"Port {stack.gateway} for gateway-1 is in use" in done.stderr
    assert "SEQUENCE_GATEWAY_PORT" in done.stderr
    assert not (other.state / "run").exists()


@pytest.mark.parametrize(
    "service", ["kafka", "sink-1", *in_make_faults("clickhouse", "dedupe-1", "gateway-1", "persons-1")]
)
def test_killed_service_is_restarted_and_events_arrive_once(stack: Stack, service: str) -> None:
    first = stack.pid(service)
    assert not stack.said(f"{service} is ready again")

    os.kill(first, signal.SIGKILL)
    eventually(lambda: stack.said(f"{service} is ready again"), f"{service} is ready again", within_seconds=40)

    assert stack.said(f"{service} was killed by signal 9")
    assert stack.pid(service) != first
    event = new_event_name()
    stack.post(event)
    # A killed worker's partitions are reassigned after its session timeout.
    wait_for_event(stack, event, within_seconds=40)
    assert len(stack.rows(event)) == 1


def test_stopped_stack_leaves_no_process_and_keeps_its_data(stack: Stack) -> None:
    event = new_event_name()
    stack.post(event)
    wait_for_event(stack, event)
    token, before = stack.pasted("Send events:"), stack.processes()

    assert stack.send(signal.SIGTERM) == 0

    assert not any(alive(pid) for pid in before)
    assert not list((stack.state / "run").iterdir())
    stack.start()
    assert stack.pasted("Send events:") == token
    assert len(stack.rows(event)) == 1
    later = new_event_name()
    stack.post(later)
    wait_for_event(stack, later)
    assert len(stack.rows(event)) == 1


def test_killed_stack_leaves_no_process(stack: Stack) -> None:
    before = stack.processes()
    # Each service is two processes, its watchdog and itself; the supervisor is one.
    assert len(before) >= 1 + 2 * len(SERVICES)

    stack.send(signal.SIGKILL)

    eventually(lambda: not any(alive(pid) for pid in before), "no process is left", within_seconds=10)
