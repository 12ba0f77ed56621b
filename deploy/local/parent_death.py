"""Parent-death watchdog: ends a process when its parent ends, `kill -9` included.

Child processes. The parent keeps the write end of the pipe that is the child's standard input. The kernel closes it
when the parent ends; this wrapper then kills its process group, the command included. The pipe works on Linux and
macOS, for Python and Java; PR_SET_PDEATHSIG exists only on Linux. The wrapper runs as a file without site packages, so
it starts in 15 ms:

    parent_death.py PID_FILE COMMAND...

It writes the command's process id to PID_FILE, forwards SIGTERM and SIGINT, and exits with the command's code, or
128 + n for signal n.

The stack itself. `make run` cannot give `sequence up` such a pipe, so `call_when_orphaned` watches the parent's id.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

_CHECK_EVERY_SECONDS = 0.5


def arguments(pid_file: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs *command* under the watchdog.

    Start it in a session of its own. Its standard input must be a pipe whose write end only the parent holds.
    """
    return [sys.executable, "-I", "-S", __file__, str(pid_file), *command]


def call_when_orphaned(parent: int, callback: Callable[[], object]) -> None:
    """Call *callback* from a daemon thread once process *parent* is no longer this process's parent.

    The parent passes its own id. If this process looked it up, it would miss a parent that has already ended.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_CHECK_EVERY_SECONDS)
        callback()

    threading.Thread(target=watch, name="parent-death", daemon=True).start()


def main(pid_file: Path, command: Sequence[str]) -> int:
    """Run *command* and return its exit code."""
    # Before the command starts, so that a parent that ends in between is noticed.
    threading.Thread(target=_kill_group_at_end_of_input, daemon=True).start()
    child: subprocess.Popen[bytes] | None = None
    early_signals: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if child is None:
            early_signals.append(number)
        else:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  # the command is the parent's own
    for number in early_signals:
        child.send_signal(number)
    # Renamed into place, so that a reader never finds an empty file.
    unfinished = pid_file.with_name(f".{pid_file.name}.new")
    unfinished.write_text(f"{child.pid}\n", encoding="ascii")
    unfinished.replace(pid_file)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _kill_group_at_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
