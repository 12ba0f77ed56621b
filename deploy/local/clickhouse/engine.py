"""The engine: pools of connections to one `chdb` data directory.

A connection runs one query at a time, and connections run side by side. Reads, writes and analysts have pools of their
own, so that no slow SELECT holds an INSERT up. Settings and the database belong to a connection; they are set before a
query and put back after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chdb.state.sqlitelike import Connection

from deploy.local.clickhouse.errors import QueryError, from_engine

READERS = 4
WRITERS = 3
ANALYSTS = 3

_INPUT = re.compile(r"\binput\s*\(\s*('(?:[^'\\]|\\.|'')*')\s*\)", re.IGNORECASE)
_INSERT_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*$", re.IGNORECASE)
_NAME = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Query:
    """One query with everything that goes with it."""

    sql: str
    body: bytes = b""
    """Rows of an INSERT."""
    format: str = "TabSeparated"
    database: str = "default"
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query came to."""

    content: bytes
    read_rows: int
    written_rows: int
    elapsed_ns: int


class Engine:
    """The `chdb` of one directory. Its methods are for one event loop; the work is done in threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = ThreadPoolExecutor(READERS + WRITERS + ANALYSTS, thread_name_prefix="clickhouse")
        self._pools: dict[str, asyncio.Queue[Connection]] = {}
        self._connections: list[Connection] = []
        self.table_functions: frozenset[str] = frozenset()

    async def start(self, database: str) -> None:
        """Open the directory and make *database* if it is missing."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for name, size in (("read", READERS), ("write", WRITERS), ("analyst", ANALYSTS)):
            pool = self._pools[name] = asyncio.Queue()
            for _ in range(size):
                connection = await self._in_thread(Connection, str(self._directory))
                self._connections.append(connection)
                pool.put_nowait(connection)
        await self.run("write", Query(f"CREATE DATABASE IF NOT EXISTS {database}"))
        names = await self.run("read", Query("SELECT name FROM system.table_functions"))
        self.table_functions = frozenset(names.content.decode().split())
        for connection in self._connections[-ANALYSTS:]:
            await self._in_thread(connection.query, "SET readonly = 1")

    async def stop(self) -> None:
        """Close the directory once what runs has ended."""
        for connection in self._connections:
            await self._in_thread(connection.close)
        self._threads.shutdown()

    async def run(self, pool: str, query: Query) -> Answer:
        """Run *query* on a connection of *pool*: `read`, `write` or `analyst`. Raises `QueryError`."""
        async with self._connection(pool) as connection:
            # Once begun, it runs to its end whatever happens to whoever asked: the connection is in use until then.
            work = asyncio.ensure_future(self._in_thread(self._run, connection, query, pool == "analyst"))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])
                raise

    @contextlib.asynccontextmanager
    async def _connection(self, pool: str) -> AsyncIterator[Connection]:
        connection = await self._pools[pool].get()
        try:
            yield connection
        finally:
            self._pools[pool].put_nowait(connection)

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _run(self, connection: Connection, query: Query, analyst: bool) -> Answer:  # noqa: FBT001  # passed on by a thread pool
        started = time.monotonic_ns()
        try:
            connection.query(f"USE {_quoted(query.database)}")
            with contextlib.ExitStack() as undo:
                if not analyst:
                    # The analyst's settings cannot be changed; those that ask for it are passed over.
                    _set(connection, query.settings, undo)
                content, read, written = self._execute(connection, query)
        except QueryError:
            raise
        except Exception as error:
            raise from_engine(error) from error
        return Answer(content, read, written, time.monotonic_ns() - started)

    def _execute(self, connection: Connection, query: Query) -> tuple[bytes, int, int]:
        if not query.body:
            result = connection.query(query.sql, query.format, params=dict(query.parameters))
            return result.bytes(), result.rows_read(), result.rows_written()
        insert_format = _INSERT_FORMAT.search(query.sql)
        if insert_format is None:
            raise QueryError(62, "the request's body holds rows, but the query does not end with FORMAT and its name")
        statement = query.sql[: insert_format.start()]
        if _INPUT.search(statement):
            return self._insert_select(connection, statement, insert_format[1], query)
        inserter: Any = connection.send_insert(statement, insert_format[1])
        inserter.append(query.body)
        return b"", 0, int(inserter.finish().rows_written)

    def _insert_select(
        self, connection: Connection, statement: str, insert_format: str, query: Query
    ) -> tuple[bytes, int, int]:
        """Run `INSERT … SELECT … FROM input(…)`: the engine's own `input` reads no body, `file` reads the same rows."""
        with tempfile.NamedTemporaryFile(dir=self._directory.parent, prefix=".body-") as rows:
            rows.write(query.body)
            rows.flush()
            source = f"file('{rows.name}', '{insert_format}', \\1)"
            result = connection.query(_INPUT.sub(source, statement), params=dict(query.parameters))
        return b"", result.rows_read(), result.rows_written()


def _set(connection: Connection, settings: Mapping[str, str], undo: contextlib.ExitStack) -> None:
    for name, value in settings.items():
        if not _NAME.fullmatch(name):
            raise QueryError(115, f"Unknown setting '{name}'")
        literal = value.replace("\\", "\\\\").replace("'", "\\'")
        connection.query(f"SET {name} = '{literal}'")
        undo.callback(connection.query, f"SET {name} = DEFAULT")


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
