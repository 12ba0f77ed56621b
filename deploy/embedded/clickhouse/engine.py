"""The ClickHouse engine: one `chdb` data directory, and a new connection for every query.

A connection opens in a third of a millisecond, that of an analyst in two, so none is reused: the settings of one query
cannot affect another. Only a session keeps its connection. A connection runs one query at a time; connections run in
parallel. Reads, writes and analysts have separate concurrency limits, so that slow SELECTs do not delay an INSERT.

`Connection.send_insert` would take rows in memory, but it reports no error that occurs after parsing (a constraint, too
many parts, no memory): it returns success and the rows are lost. An INSERT from a file reports every error.
"""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from chdb.state.sqlitelike import Connection

from deploy.embedded.clickhouse import connections, opening
from deploy.embedded.clickhouse.access import check_project_read, check_read
from deploy.embedded.clickhouse.directory import reason
from deploy.embedded.clickhouse.errors import QueryError, from_engine
from deploy.embedded.clickhouse.gate import Gate
from deploy.embedded.clickhouse.normalizing import read_statement
from deploy.embedded.clickhouse.roles import Role, is_project_role, on_connect
from deploy.embedded.clickhouse.sessions import SessionKey, Sessions
from deploy.embedded.clickhouse.statements import ends_with_values, with_rows_from_file
from deploy.embedded.clickhouse.users import WRITER
from deploy.errors import StateError
from schemas.clickhouse.quoting import quoted

CONCURRENCY_LIMITS = {"read": 6, "write": 3, "analyst": 3}
"""How many queries of each kind run at the same time. Others are queued."""
REOPEN_WAIT_SECONDS = 5.0
"""How long running queries may delay the opening with new roles; meanwhile others are queued."""
REOPEN_PAUSE_SECONDS = 30.0
"""Pause after an opening that running queries have prevented."""

_UNKNOWN_DATABASE = 81

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """One query with its rows, settings and parameters."""

    sql: str
    rows: bytes = b""
    """Rows of an INSERT, in the format that `sql` names."""
    default_format: str = "TabSeparated"
    database: str = "default"
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    kind: str = "read"
    """A key of `CONCURRENCY_LIMITS`."""
    user: str = WRITER
    role: str = Role.WRITER
    """What the query may do. The engine decides, and `check_read` where it does not."""
    session: SessionKey | None = None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a query, and its statistics."""

    content: bytes = b""
    format: str = ""
    """The format of `content`; empty for a statement without a result."""
    read_rows: int = 0
    read_bytes: int = 0
    result_rows: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0


class Engine:
    """The `chdb` engine of the working directory. Call its methods from one event loop; queries run in threads."""

    def __init__(self) -> None:
        self._directory = Path.cwd()
        self._threads = ThreadPoolExecutor(sum(CONCURRENCY_LIMITS.values()), thread_name_prefix="clickhouse")
        self._slots = {kind: asyncio.Semaphore(limit) for kind, limit in CONCURRENCY_LIMITS.items()}
        self._sessions = Sessions(connections.connect)
        self._main: Connection | None = None
        self._gate = Gate()
        self._database = ""
        self._projects: frozenset[str] = frozenset()
        self._may_reopen_at = -math.inf

    async def start(self, database: str, projects: Collection[str] = ()) -> None:
        """Open the directory and create *database* if needed; raises `StateError` if the directory cannot be used.

        Each database of *projects* gets a role that may read it, as does each of another project.
        """
        self._database = database
        await self._in_thread(self._open, frozenset(projects))

    async def add_role(self, project: str) -> None:
        """Have a role for the database *project*: open the engine anew if it is missing, which ends sessions.

        Queries wait for it. Raises `QueryError` if running queries do not end in time, and `StateError` if the engine
        cannot be opened again; it is then unusable.
        """
        if project in self._projects:
            return
        busy = QueryError(202, "Other queries are running, so this login is not ready yet. Try again in a minute.")
        if time.monotonic() < self._may_reopen_at:
            raise busy
        try:
            async with self._gate.closed(REOPEN_WAIT_SECONDS):
                if project not in self._projects:
                    await _finished(self._in_thread(self._reopen, self._projects | {project}))
        except TimeoutError:
            self._may_reopen_at = time.monotonic() + REOPEN_PAUSE_SECONDS
            raise busy from None

    async def stop(self) -> None:
        """Wait for running queries and close the directory."""
        await asyncio.to_thread(self._threads.shutdown)
        self._sessions.close()
        if self._main is not None:
            await asyncio.to_thread(self._main.close)

    async def run(self, query: Query) -> QueryResult:
        """Run *query*; raises `QueryError`. If the caller is cancelled while the query is queued, it does not run."""
        async with self._slots[query.kind], self._gate.query():
            return await _finished(self._in_thread(self._run, query))

    def _open(self, projects: frozenset[str]) -> None:
        # Each further opening of the engine costs 8 MB and 8 open files for good, so roles are made in advance.
        projects |= opening.databases(f"{self._database}_")
        self._main = opening.open_engine(self._directory, self._database, projects)
        try:
            for statement in (*on_connect(Role.WRITER), f"CREATE DATABASE IF NOT EXISTS {quoted(self._database)}"):
                self._main.query(statement)
        except RuntimeError as error:
            raise StateError(reason(self._directory, str(error))) from error
        self._projects = projects

    def _reopen(self, projects: frozenset[str]) -> None:
        self._sessions.close()
        if self._main is not None:
            self._main.close()
            self._main = None
        self._open(projects)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _run(self, query: Query) -> QueryResult:
        started = time.monotonic_ns()
        try:
            with self._connection(query) as connection:
                writes_rows = query.rows and query.role == Role.WRITER
                fields = self._insert(connection, query) if writes_rows else self._execute(connection, query)
        except QueryError:
            raise
        except Exception as error:
            raise from_engine(error, query.user) from error
        return QueryResult(**{**fields, "elapsed_ns": time.monotonic_ns() - started})

    @contextmanager
    def _connection(self, query: Query) -> Iterator[Connection]:
        if query.session is not None:
            with self._sessions.use(query.session) as connection:
                self._use_database(connection, query)
                before = connections.values(connection, query.settings)
                connections.set_values(connection, query.settings)
                try:
                    yield connection
                finally:
                    connections.set_values(connection, before)
            return
        connection = connections.connect(query.role)
        try:
            self._use_database(connection, query)
            connections.set_values(connection, query.settings)
            yield connection
        finally:
            connection.close()

    def _use_database(self, connection: Connection, query: Query) -> None:
        """Select the database of *query*. That of the clients exists at the start, and again if it was dropped."""
        try:
            connections.use_database(connection, query.database, query.role)
        except RuntimeError as error:
            if query.database != self._database or from_engine(error, query.user).code != _UNKNOWN_DATABASE:
                raise
            with closing(connections.connect(Role.WRITER)) as writer:
                writer.query(f"CREATE DATABASE IF NOT EXISTS {quoted(self._database)}")
            connections.use_database(connection, query.database, query.role)

    def _execute(self, connection: Connection, query: Query) -> dict[str, Any]:
        statement = read_statement(connection, query.sql)
        sql = query.sql
        if query.role != Role.WRITER:
            sql = statement.normalized
            check_read(sql, query.parameters, query.user)
            if is_project_role(query.role):
                check_project_read(sql, query.user)
        result_format = statement.format or query.default_format
        result = connection.query(sql, result_format, params=dict(query.parameters))
        if not hasattr(result, "bytes"):
            # `DataFrame` and `ArrowTable` are formats of chdb's own, which return Python objects.
            raise QueryError(73, f"Unknown format {result_format}")
        shown = result_format if statement.returns_result else ""
        return {"content": result.bytes(), "format": shown, **_statistics(result)}

    def _insert(self, connection: Connection, query: Query) -> dict[str, Any]:
        if ends_with_values(query.sql):
            try:
                text = query.sql + query.rows.decode()
            except UnicodeDecodeError as error:
                raise QueryError(62, f"The values are not valid UTF-8: {error}") from error
            return _statistics(connection.query(text, params=dict(query.parameters)))
        with _temporary_file(query.rows) as path:
            sql = with_rows_from_file(query.sql, path)
            return _statistics(connection.query(sql, params=dict(query.parameters)))


async def _finished(work: Awaitable[T]) -> T:
    """Return the result of *work* in a thread, which cannot be cancelled: a cancelled caller waits for its end."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _statistics(result: Any) -> dict[str, Any]:
    return {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "result_rows": result.rows_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
    }


@contextmanager
def _temporary_file(content: bytes) -> Iterator[str]:
    """Yield the path of a file with *content*. It is in memory if the system supports that, to save a disk write."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("rows"), "wb") as file:  # noqa: PTH123  # a descriptor has no path
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as temporary:
            temporary.write(content)
            temporary.flush()
            yield temporary.name
