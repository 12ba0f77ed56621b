"""The state directory: readable by its owner alone, and locked, so that at most one stack runs on it."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import AlreadyRunningError, StateError

_LOCK = "lock"
_OWN = frozenset({_LOCK, "dev-token", "kafka", "clickhouse", "worker", "workers", "logs", "run", "cache"})
"""What a state directory holds that was created before its mode was 0700."""


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Create *directory* if it is missing, close it to other users, and hold its lock for the block.

    The kernel releases the lock when the process ends, `kill -9` included. Raises `AlreadyRunningError` when another
    process holds it, and `StateError` when the directory cannot be written or is not this user's own.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(directory)
        # Not truncated before the lock is held: it has the process id of its holder.
        opened = os.fdopen(os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii")
    except OSError as error:
        raise StateError(
            f"Cannot write the state directory {directory}: {error.strerror}. "
            "Set SEQUENCE_STATE_DIR to a writable directory."
        ) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"Another `sequence up` (process {file.read().strip() or 'unknown'}) uses the state directory "
                f"{directory}. Stop it, or set SEQUENCE_STATE_DIR to another directory."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_held(directory: Path) -> bool:
    """Return whether a stack runs on *directory*."""
    return is_locked(directory / _LOCK)


def is_locked(lock: Path) -> bool:
    """Return whether a process holds the lock on the file *lock*."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _close_to_others(directory: Path) -> None:
    """Set mode 0700. Raises `StateError` for a directory of another user, or one that holds other files as well."""
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise StateError(
            f"The state directory {directory} belongs to another user (uid {status.st_uid}, this is uid "
            f"{os.geteuid()}). Run `sequence up` as its owner, or set SEQUENCE_STATE_DIR to another directory."
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 == 0:
        return
    # The mode of a directory that others share, such as /tmp, is not ours to change.
    if any(entry.name not in _OWN for entry in directory.iterdir()):
        raise StateError(
            f"The state directory {directory} is open to other users (mode {mode:04o}) and holds other files. "
            "Set SEQUENCE_STATE_DIR to a new directory, or close this one with `chmod 700`."
        )
    directory.chmod(0o700)
