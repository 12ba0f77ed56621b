"""A wall clock for the processes of a test, which the test can move while they run; intervals stay right.

A library that is preloaded into each process adds the seconds in a file to the time. libfaketime cannot be used: with
it, `time.sleep` of Python raises `OSError`.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


class MovedClock:
    """A clock with its files in *directory*. Needs a C compiler."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "clock"
        library = directory / "moved_clock.so"
        compiling = ["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(_SOURCE), "-ldl"]
        subprocess.run(compiling, check=True)
        self._file.write_bytes(struct.pack("=q", 0))
        self.environ = {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(self._file)}
        """Variables of the processes that have the clock."""
        self._seconds = 0

    def move(self, seconds: int) -> None:
        """Let the clock be *seconds* further ahead, or behind if they are negative."""
        self._seconds += seconds
        with self._file.open("r+b") as file:  # in place: processes have mapped the file
            file.write(struct.pack("=q", self._seconds))
