"""Lock of the state directory: at most one stack runs on it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import AlreadyRunningError, StateError


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the lock of *directory* for the block. The kernel releases it when the process ends, `kill -9` included.

    Raises `AlreadyRunningError` when another process holds it, and `StateError` when the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        opened = (directory / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise StateError(
            f"Cannot write the state directory {directory}: {error.strerror}. "
            "Set SEQUENCE_STATE_DIR to a writable directory."
        ) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunningError(
                f"Another `sequence up` (process {file.read().strip() or 'unknown'}) uses the state directory "
                f"{directory}. Stop it, or set SEQUENCE_STATE_DIR to another directory."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
