"""Arms points at which a process is killed or stopped once: the scenario chooses each while the process runs.

A point is named after its process, such as `sink-noted`: see `tests.faults.points`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.stack import Stack
from tests.faults.worker import ARMED
from tests.support.services import eventually

COMMAND_SECONDS = 120.0


def with_points(stack: Stack) -> None:
    """Let the processes of *stack* be killed at points; before its start."""
    _directory(stack).mkdir(parents=True)
    stack.set_environ({ARMED: str(_directory(stack))})


def arm(stack: Stack, *points: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Send the signal once to a process that reaches one of *points*."""
    for point in points:
        (_directory(stack) / point).write_text(number.name)


def left(stack: Stack) -> list[str]:
    """Return the points that have not been reached."""
    return [path.name for path in _directory(stack).iterdir()]


def wait_until_hit(stack: Stack, *, within_seconds: float = 120.0) -> None:
    """Return when each point has been reached."""
    eventually(
        lambda: not left(stack),
        "every point is reached",
        within_seconds=within_seconds,
        output=lambda: ", ".join(left(stack)),
    )


def start(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    """Start `sequence` with *arguments* on the machine of *stack*, with the points and the mutant of the scenario."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.worker", *arguments],
        env=stack.local_environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(stack: Stack, *arguments: str) -> tuple[int, str]:
    """Run `sequence` as `start` does, and return its exit code and what it printed."""
    with start(stack, *arguments) as process:
        printed, _ = process.communicate(timeout=COMMAND_SECONDS)
    return process.returncode, printed


def _directory(stack: Stack) -> Path:
    return stack.state.parent / "armed"
