"""`python -m tests.faults.quiet`: the log of a healthy stack. Prints each part's lines at WARNING or above.

Runs `sequence up` with two gateways and two workers of each kind under a light load. Halfway it restarts one of each
gracefully, which rebalances the groups; at the end it stops the stack with SIGINT, starts it on its data, and stops it
again. None of this may write a line at WARNING or above. Exits with 1 if a part wrote one.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.faults.client import Client
from tests.faults.ledger import Ledger
from tests.faults.log_lines import READY
from tests.support.services import eventually, free_ports

ITEMS_PER_SECOND = 50.0
"""A batch of a hundred every two seconds."""
AGAIN_SECONDS = 15.0
"""How long the restarted stack runs."""
RESTARTED = ("gateway-1", "dedupe-1", "persons-1", "sink-1")

_QUIET = re.compile(r"""^(\S+ (INFO|DEBUG|TRACE) |\{.*"level": ?"(info|debug)")""")
"""A line below WARNING, as text or as JSON. All others count: tracebacks and a JVM's warnings have no level."""


@dataclass(frozen=True, slots=True)
class PartLog:
    """What one part logged."""

    part: str
    bytes_per_hour: float
    severe: tuple[str, ...]
    """Lines at WARNING or above, and those without a level."""


class QuietStack:
    """One `sequence up` as a user runs it, in *directory*, with *each* of every service."""

    def __init__(self, directory: Path, environ: Mapping[str, str] | None = None, *, each: int = 2) -> None:
        self.state = directory / "state"
        self._output = directory / "output"
        port = free_ports(2 + each)
        metrics_port = free_ports(3 * each)
        self.metrics_ports = [*range(port + 2, port + 2 + each), *range(metrics_port, metrics_port + 3 * each)]
        """Ports of gateways and workers."""
        self.gateways = [f"http://127.0.0.1:{port + 2 + number}" for number in range(each)]
        self.environ = {
            **os.environ,
            "SEQUENCE_STATE_DIR": str(self.state),
            "SEQUENCE_LOCAL_KAFKA_PORT": str(port),
            "SEQUENCE_LOCAL_CLICKHOUSE_PORT": str(port + 1),
            "SEQUENCE_GATEWAY_PORT": str(port + 2),
            "SEQUENCE_LOCAL_METRICS_PORT": str(metrics_port),
            "SEQUENCE_CONSOLE_PORT": "0",
            "SEQUENCE_LOCAL_GATEWAYS": str(each),
            "SEQUENCE_LOCAL_WORKERS": str(each),
            **(environ or {}),
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the stack for the block, and stop it with SIGINT."""
        command = [sys.executable, "-m", "deploy.cli", "up", "--parent", str(os.getpid())]
        with self._output.open("wb") as output:
            process = subprocess.Popen(
                command, env=self.environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            eventually(lambda: READY in self.said() or process.poll() is not None, "ready", within_seconds=150)
            assert process.poll() is None, self.said()
            yield
            process.send_signal(signal.SIGINT)
            code = process.wait(90)
        finally:
            # Its services end with it. A process that nobody waited for would fail another test.
            process.kill()
            process.wait()
        assert code == 0, self.said()

    @property
    def token(self) -> str:
        """The development token."""
        return (self.state / "dev-token").read_text().strip()

    def said(self) -> str:
        """Return what `sequence up` printed."""
        return self._output.read_text(errors="replace")

    def send(self, seconds: float, seed: int) -> None:
        """Send valid items at a low rate for *seconds*; each must get a final status."""
        ledger = Ledger(seed, invalid_share=0.0)
        client = Client(self.gateways, self.token, ledger)
        client.start(rate=ITEMS_PER_SECOND)
        threading.Event().wait(seconds)
        client.stop()
        assert ledger.ids("acknowledged") == set(ledger.entries), client.statuses

    def restart_one_of_each(self) -> None:
        """Stop one service of each kind gracefully; return when the supervisor has restarted all of them."""
        for name in RESTARTED:
            again = self.said().count(f"{name} is ready again")
            os.kill(int((self.state / "run" / f"{name}.pid").read_text()), signal.SIGTERM)
            eventually(lambda n=name, a=again: self.said().count(f"{n} is ready again") > a, f"{name} is ready again")  # type: ignore[misc]  # binds the loop's values

    def logs(self, hours: float) -> list[PartLog]:
        """Return the log of each part, with its bytes for an hour of *hours*."""
        found = []
        for path in sorted((self.state / "logs").glob("*.log")):
            older = path.with_name(f"{path.name}.1")
            text = (older.read_text(errors="replace") if older.exists() else "") + path.read_text(errors="replace")
            found.append(PartLog(path.stem, len(text.encode()) / hours, severe_lines(text)))
        return found


def severe_lines(text: str) -> tuple[str, ...]:
    """Return the lines of *text* that are at WARNING or above, or have no level."""
    return tuple(line for line in text.splitlines() if line.strip() and not _QUIET.match(line))


def watch(directory: Path, minutes: float) -> list[PartLog]:
    """Run the stack in *directory* for *minutes* and return what its parts logged."""
    stack = QuietStack(directory)
    with stack.running():
        began = monotonic()
        stack.send(minutes * 30, seed=1)
        stack.restart_one_of_each()
        stack.send(minutes * 30, seed=2)
        hours = (monotonic() - began) / 3600
    with stack.running():
        stack.send(AGAIN_SECONDS, seed=3)
    return stack.logs(hours)


def report(logs: list[PartLog]) -> str:
    """Return one line for each part, and below it each line at WARNING or above."""
    lines = []
    for log in logs:
        lines.append(f"{log.part:<12} {len(log.severe):>4} at WARNING or above {log.bytes_per_hour:>12,.0f} bytes/h")
        lines += [f"    {line}" for line in log.severe]
    return "\n".join(lines)


def main() -> None:
    """Run in a temporary directory, or in one that is kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.quiet", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--directory", type=Path, help="keep state and logs here; must be empty")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sequence-quiet-") as temporary:
        directory = arguments.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        logs = watch(directory, arguments.minutes)
    sys.stdout.write(f"{report(logs)}\n")
    raise SystemExit(any(log.severe for log in logs))


if __name__ == "__main__":
    main()
