"""Opens the engine in the working directory, with its configuration beside the data."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from chdb.state.sqlitelike import Connection

from deploy.embedded.clickhouse import roles
from deploy.embedded.clickhouse.directory import reason, write
from deploy.errors import StateError

_PLAIN = re.compile(r"\w+", re.ASCII)
"""A name that a file has unchanged; those of projects have no other characters."""


def open_engine(directory: Path, database: str, projects: Iterable[str]) -> Connection:
    """Open the engine on *directory*, the working directory, with a role for each database of *projects*.

    The connection returned keeps the engine open. The engine is opened anew once all connections are closed.
    Raises `StateError` if the directory cannot be used; nothing in it is removed.
    """
    try:
        write(roles.configuration(database, *_engine_names(), projects))
    except (OSError, RuntimeError, ValueError) as error:
        raise StateError(reason(directory, str(error))) from error
    with _standard_error() as written:
        try:
            return connect()
        except (RuntimeError, ValueError) as error:
            # The exception says that it failed; the engine writes the reason to standard error.
            written.seek(0)
            said = written.read().decode(errors="replace")
            written.truncate(0)
            raise StateError(reason(directory, said or " ".join(str(error).split()))) from error


def databases(prefix: str) -> set[str]:
    """Return the databases in the working directory whose names begin with *prefix*."""
    return {path.stem for path in Path("metadata").glob(f"{prefix}*.sql") if _PLAIN.fullmatch(path.stem)}


def connect() -> Connection:
    """Return a new connection to the engine, which is opened if this is the first one."""
    return Connection(f".?config-file={roles.CONFIG_FILE}")


@cache
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
