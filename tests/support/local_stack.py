"""One `sequence up` for a test, and the commands that it prints, run by a shell as a user would paste them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from deploy.local.passwords import ANALYST_FILE, WRITER_FILE
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.services import eventually, free_port, free_ports

PROGRAM: tuple[str, ...] = (sys.executable, "-m", "deploy.cli")


class Stack:
    """One `sequence up` with its own state directory and ports."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.output = directory / "output"
        self.gateway = free_port()
        self.console = free_port()
        self.environ = {
            **os.environ,
            "SEQUENCE_STATE_DIR": str(self.state),
            "SEQUENCE_GATEWAY_PORT": str(self.gateway),
            "SEQUENCE_LOCAL_KAFKA_PORT": str(free_port()),
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(free_port()),
            "SEQUENCE_LOCAL_METRICS_PORT": str(free_ports(3)),
            "SEQUENCE_CONSOLE_PORT": str(self.console),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.program = PROGRAM
        self.cwd: Path | None = None
        """Where the user is; None is where the tests run."""

    def start(self) -> None:
        with self.output.open("wb") as output:
            self.process = up(self.environ, output, self.program, self.cwd)
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

    def log(self, service: str) -> str:
        """The end of the log of *service*."""
        return (self.state / "logs" / f"{service}.log").read_text(errors="replace")[-5000:]

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

    def line(self, title: str) -> str:
        """The command below *title*."""
        found = re.search(rf"{title}\n\n  (.*)\n", self.output.read_text())
        assert found is not None
        return found[1]

    def secrets(self) -> dict[str, str]:
        """The tokens and the passwords, by the names of their files."""
        names = ("dev-token", "operate-token", WRITER_FILE, ANALYST_FILE)
        return {name: (self.state / name).read_text().strip() for name in names}

    def post(self, event: str) -> Any:
        """Send one track with the command to paste, under another event name."""
        words = self.paste(f"printf '%s\\0' {self.line('Send events:')}").split("\0")[:-1]
        return json.loads(curl([word.replace("Order Completed", event) for word in words]))

    def rows(self, event: str) -> list[list[str]]:
        """The rows of *event*, with the command to paste."""
        rows = [line.split("\t") for line in self.paste(self.line("Query them:")).splitlines()]
        return [row for row in rows if row[0] == event]

    @property
    def clickhouse(self) -> ClickHouseHttp:
        """A client with the login of the writer: a test that waits for rows asks without the process of a command."""
        url = f"http://127.0.0.1:{self.environ['SEQUENCE_LOCAL_CLICKHOUSE_PORT']}"
        password = ((self.cwd or Path()) / self.state / WRITER_FILE).read_text().strip()
        return ClickHouseHttp(url, "default", password, settings={"database": "sequence"})

    def stored(self, event: str) -> int:
        """The number of rows of *event*."""
        sql = "SELECT count() FROM events WHERE event = {event:String}"
        return int(self.clickhouse.query(sql, param_event=event))

    def paste(self, line: str) -> str:
        """What *line* prints where the user is."""
        return pasted(line, self.cwd)


def up(
    environ: dict[str, str],
    output: Any,
    program: tuple[str, ...] = PROGRAM,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*program, "up", "--parent", str(os.getpid())],
        env=environ,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def pasted(line: str, cwd: Path | None = None) -> str:
    """Return what *line* prints in another shell in *cwd*, which has none of the stack's settings."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEQUENCE_")}
    done = subprocess.run(["/bin/sh", "-c", line], env=environ, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
