"""Clocks of services under test, set by libfaketime. Only the wall clock moves; the monotonic clock is the machine's.

The service must be one whose file exists when the stack starts. Writing the file moves the clock while it runs.
"""

from __future__ import annotations

from pathlib import Path

LIBRARIES = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"),
)
"""Where Debian's package `faketime` installs it."""


def file(state: Path, kind: str) -> Path:
    """Return the file with the offset of the clocks of the services of *kind*."""
    return state.parent / "clocks" / kind


def shift(state: Path, kind: str, seconds: int) -> None:
    """Let the clocks of the services of *kind* be *seconds* ahead of the machine's."""
    path = file(state, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(f"{seconds:+d}\n", encoding="ascii")
    unfinished.replace(path)


def environ(clock: Path) -> dict[str, str]:
    """Return the variables with which a process has the clock of the file *clock*."""
    library = next((path for path in LIBRARIES if path.exists()), None)
    if library is None:
        raise FileNotFoundError("libfaketime is missing: install the package `faketime`")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "0",
    }
