"""The data directory of the engine: entered before the engine is loaded, and named in the errors of opening it.

The engine works in the directory and is given relative paths only: in a connection string, a path with a question mark,
an ampersand or a percent sign would be read as something else. It reads a file `config.xml` of its working directory
as soon as it is loaded, so that must not be the directory of whoever starts the server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from deploy.errors import StateError

_DATABASE_OF_FILES = "default"
"""The engine's own database, in which it looks for a file of the table's name, with wildcards."""
_WILDCARDS = frozenset("?*{")

_CAUSES = (
    (("too many open files",), "it needs more open files than the limit allows. Raise it with `ulimit -n`"),
    (("no space left", "not enough space", "disk quota exceeded"), "the disk is full. Free space on it"),
    (
        ("read-only file system", "permission denied", "operation not permitted"),
        "this user may not write to it. Change its owner or its permissions, or set another SEQUENCE_STATE_DIR",
    ),
    (
        ("cannot lock file", "another server instance"),
        "it is in use by another process. Stop that process, or set another SEQUENCE_STATE_DIR",
    ),
)
"""Texts of the engine and of the system, with what they mean and what to do."""


def enter(directory: Path, database: str) -> None:
    """Create *directory* if needed and make it the working directory; raises `StateError` if it cannot be used."""
    if database == _DATABASE_OF_FILES and _WILDCARDS.intersection(str(directory)):
        raise StateError(
            f"{directory} has one of the characters ? * {{ in its path, which the database `default` does not support. "
            "Set another SEQUENCE_STATE_DIR, or another SEQUENCE_CLICKHOUSE_DATABASE."
        )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chdir(directory)
    except OSError as error:
        raise StateError(reason(directory, str(error))) from error


def write(files: Mapping[str, str]) -> None:
    """Write *files* to the working directory, each whole or not at all, and readable by this user only."""
    for name, text in files.items():
        temporary = Path(f"{name}.tmp")
        temporary.touch(mode=0o600)
        temporary.chmod(0o600)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(name)


def reason(directory: Path, error: str) -> str:
    """Return *error*, with which *directory* could not be opened, as a sentence with the cause and the remedy."""
    lower = error.lower()
    for texts, cause in _CAUSES:
        if any(text in lower for text in texts):
            return f"The ClickHouse data in {directory} cannot be opened: {cause}. Nothing was deleted."
    last = error.strip().rpartition("\n")[2].rstrip(".") or "the engine gives no reason"
    return (
        f"The ClickHouse data in {directory} cannot be opened: {last}. Nothing was deleted. If it is damaged, restore "
        "it from a backup, or set another SEQUENCE_STATE_DIR."
    )
