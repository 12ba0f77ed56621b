"""`sequence up` in one place, a directory with an environment: sends events, counts rows, starts again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.services import eventually, free_port, free_ports

EVENTS = 3
START_SECONDS = 100.0
_READY = "Ready after"

Step = Callable[["Stack"], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how the stack is started, and what is expected."""

    name: str
    directory: str = "base"
    """Directory of the state, below an empty one. A `/` makes several."""
    environ: dict[str, str] = field(default_factory=dict)
    """Changes of the environment; `{base}` and `{state}` are replaced by absolute paths."""
    without: tuple[str, ...] = ()
    """Variables that are removed."""
    wrapper: tuple[str, ...] = ()
    """A command that runs the stack."""
    prepare: Step | None = None
    """Called before the first start."""
    running: Step | None = None
    """Called while the stack runs, after the events were counted."""
    between: Step | None = None
    """Called between the first and the second start."""
    refused: str = ""
    """What the first start says when it refuses."""
    refused_again: str = ""
    """What the second start says when it refuses."""
    state: str = "state"
    """Name of the state directory."""
    beside: tuple[str, ...] = ()
    """What `prepare` puts beside the state."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened in a place."""

    said: str
    """What the last start said when it refused, or the first line."""
    rows: tuple[int, ...] = ()
    """Rows of the events after each start."""
    strays: frozenset[str] = frozenset()
    """What is in the directory beside the state."""

    def fits(self, place: Place) -> bool:
        """Return whether this is what *place* expects."""
        starts = 0 if place.refused else 1 if place.refused_again else 2
        return (
            self.rows == (EVENTS,) * starts
            and (place.refused or place.refused_again) in self.said
            and "Traceback" not in self.said
            and not self.strays
        )


class Stack:
    """`sequence up` with its own ports, in *place* below *base*."""

    def __init__(self, place: Place, base: Path) -> None:
        self.place = place
        self.base = base / place.directory
        self.state = self.base / place.state
        self.output = base / "output"
        self.gateway, self.kafka, self.clickhouse = free_port(), free_port(), free_port()
        self.metrics = free_ports(3)
        self.process: subprocess.Popen[bytes] | None = None

    def environ(self) -> dict[str, str]:
        """Return the environment of the stack."""
        changes = {
            name: value.replace("{base}", str(self.base)).replace("{state}", str(self.state))
            for name, value in self.place.environ.items()
        }
        kept = {name: value for name, value in os.environ.items() if name not in self.place.without}
        return {
            **kept,
            "SEQUENCE_STATE_DIR": str(self.state),
            "SEQUENCE_GATEWAY_PORT": str(self.gateway),
            "SEQUENCE_LOCAL_KAFKA_PORT": str(self.kafka),
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(self.clickhouse),
            "SEQUENCE_LOCAL_METRICS_PORT": str(self.metrics),
            "SEQUENCE_CONSOLE_PORT": "0",
            **changes,
        }

    def start(self) -> bool:
        """Start the stack and return whether it became ready; it may have refused."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                # `-P`, as the command `sequence` does not import from the working directory.
                [*self.place.wrapper, sys.executable, "-P", "-m", "deploy.cli", "up"],
                cwd=self.base,
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: self.is_ready() or not self.is_up(), "ready or refused", within_seconds=START_SECONDS)
        return self.is_up()

    def stop(self) -> None:
        """Stop the stack and wait for its end."""
        if self.process is not None and self.is_up():
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def kill(self) -> None:
        """Kill the stack if it runs."""
        if self.process is not None and self.is_up():
            self.process.kill()
            self.process.wait(60)

    def is_up(self) -> bool:
        """Return whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def is_ready(self) -> bool:
        """Return whether it said that it is ready."""
        return _READY in self.said()

    def said(self) -> str:
        """Return what it printed."""
        return self.output.read_bytes().decode(errors="replace")

    def post(self) -> None:
        """Send the events; the same ones each time."""
        items = [
            {"type": "track", "userId": "ada", "event": "Placed", "messageId": f"m-{n}", "properties": {"café": "ü"}}
            for n in range(EVENTS)
        ]
        token = (self.state / "dev-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.gateway}/event/batch"
        reply = json.loads(_fetch(url, json.dumps({"batch": items}), headers))
        assert reply["accepted"] == EVENTS, reply

    def rows(self) -> int:
        """Return the number of rows of the events; 0 if ClickHouse does not answer."""
        password = self.state / "clickhouse-password"
        headers = {
            "X-ClickHouse-User": "default",
            "X-ClickHouse-Key": password.read_text().strip() if password.exists() else "",
        }
        query = "SELECT count() FROM sequence.events WHERE event = 'Placed'"
        with contextlib.suppress(urllib.error.URLError):
            return int(_fetch(f"http://127.0.0.1:{self.clickhouse}/", query, headers))
        return 0

    def wait_for_rows(self) -> int:
        """Return the number of rows once all have arrived; what is there if they do not arrive."""
        with contextlib.suppress(AssertionError):
            eventually(lambda: self.rows() >= EVENTS, "the rows arrive", within_seconds=30)
        return self.rows()


def visit(place: Place, base: Path) -> Outcome:
    """Start, post, count, stop, start, count, stop."""
    stack = Stack(place, base)
    stack.base.mkdir(parents=True)
    rows: list[int] = []
    try:
        if place.prepare:
            place.prepare(stack)
        for number in range(2):
            if not stack.start():
                break
            if number == 0:
                stack.post()
            rows.append(stack.wait_for_rows())
            if place.running and number == 0:
                place.running(stack)
            stack.stop()
            if place.between and number == 0:
                place.between(stack)
    finally:
        stack.kill()
    return Outcome(_shown(stack.said(), refused=not stack.is_ready()), tuple(rows), strays_of(stack))


def strays_of(stack: Stack) -> frozenset[str]:
    """Return what lies beside the state, in its directory and in those above."""
    found: set[str] = set()
    expected = {stack.place.state, *stack.place.beside}
    directory = stack.base
    for _ in Path(stack.place.directory).parts:
        found |= {path.name for path in directory.iterdir()} - expected
        expected = {directory.name, "output"}
        directory = directory.parent
    return frozenset(found | ({path.name for path in directory.iterdir()} - expected))


def _shown(said: str, *, refused: bool) -> str:
    """Return all of a refusal, or the line that says that the stack is ready."""
    if refused:
        return said.strip()
    return next((line for line in said.splitlines() if line.startswith(_READY)), said.strip())


def _fetch(url: str, body: str, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, body.encode(), headers)  # noqa: S310  # http on loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        return bytes(response.read())


def table(outcomes: Sequence[tuple[Place, Outcome]]) -> str:
    """Return the table of places: input, what was printed, rows."""
    rows = ["| Place | Input | Printed | Rows |", "| --- | --- | --- | --- |"]
    for place, outcome in outcomes:
        given: list[Any] = [place.directory] if place.directory != "base" else []
        given += [f"{name}={value}" for name, value in place.environ.items()]
        given += [f"without {' '.join(place.without)}"] if place.without else []
        given += [" ".join(place.wrapper)] if place.wrapper else []
        rows.append(
            f"| {place.name} | {', '.join(map(repr, given))} | {outcome.said!r} | "
            f"{', '.join(map(str, outcome.rows)) or '-'}{'' if outcome.fits(place) else f' **unexpected** {outcome}'} |"
        )
    return "\n".join(rows)
