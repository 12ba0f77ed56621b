"""Test-only wrapper: `python -m tests.faults.held FILE COMMAND...` runs COMMAND, but not while FILE exists.

`Stack.held` uses it to keep a service from running, although the supervisor restarts it. FILES limits the files that
COMMAND may open.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FILES = "SEQUENCE_TEST_OPEN_FILES"
"""Soft and hard limit of open files of the command."""


def arguments(file: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs *command* unless *file* exists."""
    return [sys.executable, "-m", "tests.faults.held", str(file), *command]


def main(file: Path, command: Sequence[str]) -> None:
    """Wait until *file* does not exist, then become *command*."""
    while file.exists():
        time.sleep(0.05)
    if limit := os.environ.get(FILES):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), int(limit)))
    os.execv(command[0], list(command))  # noqa: S606  # the command is the supervisor's own


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
