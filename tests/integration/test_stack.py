"""`sequence up` as a user runs it: one command, real parts, state that outlives it."""

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

PARTS = {"kafka", "clickhouse", "gateway-1", "dedupe-1", "persons-1", "sink-1"}


class Stack:
    """One `sequence up` with a state directory and ports of its own."""

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
            eventually(lambda: self.said("Query them:") or not self.runs(), "the stack is ready", within_seconds=100)
            assert self.runs(), self.output.read_text()
        except BaseException:
            self.end()
            raise

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def said(self, text: str) -> bool:
        return text in self.output.read_text()

    def pid(self, part: str) -> int:
        return int((self.state / "run" / f"{part}.pid").read_text())

    def processes(self) -> list[int]:
        """Every process of the stack, the leashes too."""
        assert self.process is not None
        return [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))]

    def send(self, number: signal.Signals) -> int:
        """Send the stack a signal and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def end(self) -> None:
        if self.runs():
            self.send(signal.SIGKILL)

    def pasted(self, title: str) -> list[str]:
        """The line under *title*, as a shell would split it."""
        found = re.search(rf"{title}\n\n  (.*)\n", self.output.read_text())
        assert found is not None
        return shlex.split(found[1])

    def post(self, event: str) -> Any:
        """Post one track by way of the line to paste, with another event name."""
        command = self.pasted("Post events:")
        return json.loads(curl([part.replace("Order Completed", event) for part in command]))

    def rows(self, event: str) -> list[Any]:
        """The rows of *event*, by way of the line to paste."""
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
    """Do what the curl command does, on machines that have no curl as well; it fails for options not used here."""
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
    stack.end()


def a_name() -> str:
    return f"Tested {secrets.token_hex(4)}"


def arrives(stack: Stack, event: str, *, within_seconds: float = 20) -> None:
    eventually(lambda: len(stack.rows(event)) > 0, f"{event} is in ClickHouse", within_seconds=within_seconds)


def test_every_part_runs_and_has_a_status_line(stack: Stack) -> None:
    ready = {line.split()[0] for line in stack.output.read_text().splitlines() if " ready " in line}

    assert ready == PARTS
    assert all(alive(stack.pid(part)) for part in PARTS)


def test_the_lines_it_prints_work_as_they_are(stack: Stack) -> None:
    event = a_name()

    reply = stack.post(event)

    assert (reply["accepted"], reply["rejected"]) == (2, 0)
    arrives(stack, event)
    (row,) = stack.rows(event)
    assert row["user_id"] == "ada"
    assert row["properties"]["price"] == 42.5


def test_the_development_token_is_for_its_owner_alone(stack: Stack) -> None:
    file = stack.state / "dev-token"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"Bearer {file.read_text().strip()}" in stack.pasted("Post events:")[4]


def test_a_second_stack_on_the_same_directory_is_refused(stack: Stack) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "up"], env=stack.environ, capture_output=True, text=True, check=False
    )

    assert second.returncode == 1
    assert "SEQUENCE_STATE_DIR" in second.stderr
    assert stack.runs()


def test_a_taken_port_is_named_with_its_setting_before_anything_starts(stack: Stack, tmp_path: Path) -> None:
    other = Stack(tmp_path)
    other.environ["SEQUENCE_GATEWAY_PORT"] = str(stack.gateway)

    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "up"], env=other.environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert f"Port {stack.gateway} for gateway-1 is taken" in done.stderr
    assert "SEQUENCE_GATEWAY_PORT" in done.stderr
    assert not (other.state / "run").exists()


@pytest.mark.parametrize(
    "part", ["kafka", "sink-1", *in_make_faults("clickhouse", "dedupe-1", "gateway-1", "persons-1")]
)
def test_a_part_that_is_killed_comes_back_and_events_go_on(stack: Stack, part: str) -> None:
    first = stack.pid(part)
    assert not stack.said(f"{part} is back")

    os.kill(first, signal.SIGKILL)
    eventually(lambda: stack.said(f"{part} is back"), f"{part} is back", within_seconds=40)

    assert stack.said(f"{part} was ended by signal 9")
    assert stack.pid(part) != first
    event = a_name()
    stack.post(event)
    # A killed worker's partitions stand still until its session is over.
    arrives(stack, event, within_seconds=40)
    assert len(stack.rows(event)) == 1


def test_a_stack_that_is_ended_leaves_no_process_and_goes_on_with_its_data(stack: Stack) -> None:
    event = a_name()
    stack.post(event)
    arrives(stack, event)
    token, before = stack.pasted("Post events:"), stack.processes()

    assert stack.send(signal.SIGTERM) == 0

    assert not any(alive(pid) for pid in before)
    assert not list((stack.state / "run").iterdir())
    stack.start()
    assert stack.pasted("Post events:") == token
    assert len(stack.rows(event)) == 1
    later = a_name()
    stack.post(later)
    arrives(stack, later)
    assert len(stack.rows(event)) == 1


def test_a_stack_that_is_killed_leaves_no_process(stack: Stack) -> None:
    before = stack.processes()
    # Each part is two processes, its leash and itself; the stack is one.
    assert len(before) >= 1 + 2 * len(PARTS)

    stack.send(signal.SIGKILL)

    eventually(lambda: not any(alive(pid) for pid in before), "no process is left", within_seconds=10)
