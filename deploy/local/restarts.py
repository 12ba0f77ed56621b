"""How often each service of the local stack has ended and why, for `sequence status`: a file beside its process id."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

SUFFIX = ".restarts"


class Restarts(msgspec.Struct, frozen=True):
    """The ends of a service since the stack was started, those that nobody asked for."""

    count: int
    at: str
    """Time of the last one, UTC."""
    reason: str
    """How it ended the last time, and why if that is known."""


def note(directory: Path, name: str, reason: str) -> None:
    """Note that service *name* has ended. A full disk must not stop the supervisor, so errors are ignored."""
    known = read(directory, name)
    added = Restarts(1 if known is None else known.count + 1, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", reason)
    file = directory / f"{name}{SUFFIX}"
    unfinished = file.with_name(f".{file.name}.new")
    with contextlib.suppress(OSError):
        unfinished.write_bytes(msgspec.json.encode(added))
        unfinished.replace(file)


def read(directory: Path, name: str) -> Restarts | None:
    """Return the restarts of service *name*, None without any."""
    try:
        return msgspec.json.decode((directory / f"{name}{SUFFIX}").read_bytes(), type=Restarts)
    except (OSError, msgspec.DecodeError):
        return None
