"""Runs one command so that it cannot outlive whoever started it, however that one ends.

The starter keeps the write end of the pipe that is this process's standard input. The kernel closes it when the starter
dies, `kill -9` included; this process then kills its whole process group, the command with it. Linux could do the same
with PR_SET_PDEATHSIG, macOS has nothing like it; a pipe works on both, for Python and Java alike.

Run as a file, without site packages, so that it costs 15 ms: `leash.py PID_FILE COMMAND...`. The command's process id
goes to PID_FILE. SIGTERM and SIGINT are passed on. Exits as the command did, with 128 + n for signal n.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType


def arguments(pid_file: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs *command* on a leash.

    It needs a session of its own and, as its standard input, a pipe whose write end nobody but the starter holds.
    """
    return [sys.executable, "-I", "-S", __file__, str(pid_file), *command]


def main(pid_file: Path, command: Sequence[str]) -> int:
    """Run *command* and return its exit code."""
    # The watch begins before the command does: a starter that died in between is noticed all the same.
    threading.Thread(target=_end_with_starter, daemon=True).start()
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGINT, pass_on)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603  # the command is the starter's own
    for number in early:
        child.send_signal(number)
    unfinished = pid_file.with_name(f".{pid_file.name}.new")
    unfinished.write_text(f"{child.pid}\n", encoding="ascii")
    unfinished.replace(pid_file)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _end_with_starter() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
