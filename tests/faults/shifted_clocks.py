"""Clocks of a gateway under test: that of `receivedAt`, and the one that gives records their time.

With the topic's times taken from the records, the second one stands for the broker's clock: both can run ahead, alone
or together, while the machine's own clock is right.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.faults.worker import CLOCKS

KINDS = ("broker", "gateway")


class ShiftedTime:
    """The module `time`, with a `time_ns` that is ahead by the seconds in *file*."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time_ns(self) -> int:
        """Return nanoseconds since 1970."""
        return time.time_ns() + int(self._file.read_text(encoding="ascii")) * 10**9


def shift(directory: Path, kind: str, seconds: int) -> None:
    """Let the clock *kind* be *seconds* ahead of the machine's."""
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = directory / f"{kind}.new"
    unfinished.write_text(str(seconds), encoding="ascii")
    unfinished.replace(directory / kind)


def directory_of(state: Path) -> Path:
    """Return the directory of the clocks of the stack with the state directory *state*."""
    return state.parent / "clocks"


def environ(state: Path) -> dict[str, str]:
    """Return the variables with which a gateway has the clocks of the stack."""
    return {CLOCKS: str(directory_of(state))}
