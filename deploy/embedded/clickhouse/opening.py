"""Opens the engine on a data directory, with its configuration beside the data.

The engine is given relative paths only, from within the directory: in a connection string, a path with a question mark,
an ampersand or a percent sign would be read as something else.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from chdb.state.sqlitelike import Connection

from deploy.embedded.clickhouse import roles
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


def open_engine(directory: Path, database: str) -> Connection:
    """Enter *directory* and open the engine on it. The connection returned keeps the engine open.

    Raises `StateError` if the directory cannot be used; nothing in it is removed.
    """
    if database == _DATABASE_OF_FILES and _WILDCARDS.intersection(str(directory)):
        raise StateError(
            f"{directory} has one of the characters ? * {{ in its path, which the database `default` does not support. "
            "Set another SEQUENCE_STATE_DIR, or another SEQUENCE_CLICKHOUSE_DATABASE."
        )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chdir(directory)
        _write(roles.configuration(database, *_engine_names()))
    except (OSError, RuntimeError) as error:
        raise StateError(reason(directory, str(error))) from error
    with _standard_error() as written:
        try:
            return connect()
        except RuntimeError as error:
            # The exception says that it failed; the engine writes the reason to standard error.
            written.seek(0)
            said = written.read().decode(errors="replace")
            written.truncate(0)
            raise StateError(reason(directory, said or " ".join(str(error).split()))) from error


def connect() -> Connection:
    """Return a new connection to the engine, which is opened if this is the first one."""
    return Connection(f".?config-file={roles.CONFIG_FILE}")


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


def _engine_names() -> tuple[list[str], list[str]]:
    """Return the names of the engine's settings and of its system tables, from an engine without data."""
    connection = Connection(":memory:")
    try:
        return (
            _lines(connection, "SELECT name FROM system.settings"),
            _lines(connection, "SELECT name FROM system.tables WHERE database = 'system'"),
        )
    finally:
        connection.close()


def _lines(connection: Connection, sql: str) -> list[str]:
    text: str = connection.query(sql, "TabSeparated").bytes().decode()
    return text.split()


@contextmanager
def _standard_error() -> Iterator[BinaryIO]:
    """Yield a file with what the process writes to standard error within the block; what is left in it is shown."""
    shown = os.dup(2)
    try:
        with tempfile.TemporaryFile() as written:
            os.dup2(written.fileno(), 2)
            try:
                yield written
            finally:
                os.dup2(shown, 2)
                written.seek(0)
                os.write(2, written.read())
    finally:
        os.close(shown)


def _write(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = Path(name)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text, encoding="utf-8")
