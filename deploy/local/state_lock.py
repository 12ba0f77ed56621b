"""Keeps a second stack off the same state directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import AlreadyRunningError, StateError


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold the lock of *directory* for the block; raise `AlreadyRunningError` when another process has it.

    Raises `StateError` where the directory cannot be made or written.

    The kernel lets go of it when the process ends, in whatever way.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        opened = (directory / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise StateError(
            f"{directory} cannot hold the stack's state ({error}); SEQUENCE_STATE_DIR moves it."
        ) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunningError(
                f"Another `sequence up` (process {file.read().strip() or 'unknown'}) runs on {directory}. "
                "End it first, or give this one a directory of its own with SEQUENCE_STATE_DIR."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
