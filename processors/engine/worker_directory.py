"""The directory of a worker's local state: checked before the worker connects to Kafka."""

from __future__ import annotations

import tempfile
from pathlib import Path

from processors.engine.errors import WorkerDirectoryError


def prepare(configured: str) -> Path:
    """Create the directory *configured* and return its absolute path.

    Raises `WorkerDirectoryError` unless files can be created in it.
    """
    try:
        directory = Path(configured).expanduser().absolute()
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: `~` of a user without a home directory
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise WorkerDirectoryError(
            f"Cannot write the worker's directory {configured}: {reason}. "
            "Set SEQUENCE_WORKER_DIR to a directory that this user may write."
        ) from error
    return directory
