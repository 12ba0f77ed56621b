"""How often each service of the local stack has ended and why, for `sequence status`: a file beside its process id."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

SUFFIX = ".restarts"
_RECENT = timedelta(minutes=10)
_MOST = 100
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class Restarts(msgspec.Struct, frozen=True):
    """The ends of a service since the stack was started, those that nobody asked for."""

    count: int
    at: str
    """Time of the last one, UTC."""
    reason: str
    """How it ended the last time, and why if that is known."""
    recent: tuple[str, ...]
    """Times of the ends in the ten minutes before the last one, with it; the newest ones if there are many."""


def note(directory: Path, name: str, reason: str) -> None:
    """Note that service *name* has ended. A full disk must not stop the supervisor, so errors are ignored."""
    known = read(directory, name)
    now = datetime.now(UTC)
    since = f"{now - _RECENT:{_FORMAT}}"
    # Times in one format are in the order of their texts.
    recent = () if known is None else tuple(at for at in known.recent if at >= since)
    at = f"{now:{_FORMAT}}"
    added = Restarts(1 if known is None else known.count + 1, at, reason, (*recent, at)[-_MOST:])
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
