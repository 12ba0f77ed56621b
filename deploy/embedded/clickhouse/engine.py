"""The ClickHouse engine: one `chdb` data directory, and a new connection for every query.

A connection opens in a third of a millisecond, that of an analyst in two, so none is reused: the settings of one query
cannot affect another. Only a session keeps its connection. A connection runs one query at a time; connections run in
parallel. Reads, writes and analysts have separate concurrency limits, so that slow SELECTs do not delay an INSERT.

`Connection.send_insert` would take rows in memory, but it reports no error that occurs after parsing (a constraint, too
many parts, no memory): it returns success and the rows are lost. An INSERT from a file reports every error.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from chdb.state.sqlitelike import Connection

from deploy.embedded.clickhouse import opening
from deploy.embedded.clickhouse.access import WRITER, check_read
from deploy.embedded.clickhouse.directory import reason
from deploy.embedded.clickhouse.errors import QueryError, from_engine
from deploy.embedded.clickhouse.roles import Role, on_connect
from deploy.embedded.clickhouse.sessions import SessionKey, Sessions
from deploy.embedded.clickhouse.statements import ends_with_values, output_format, returns_result, with_rows_from_file
from deploy.errors import StateError
from schemas.clickhouse.quoting import literal, quoted

CONCURRENCY_LIMITS = {"read": 6, "write": 3, "analyst": 3}
"""How many queries of each kind run at the same time. Others are queued."""

_NAME = re.compile(r"\w+")
_SCOPE = re.compile(r": In scope SELECT formatQuery.*(?= \([A-Z_]+\)$)", re.DOTALL)

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
    role: Role = Role.WRITER
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
        self._sessions = Sessions(_connect)
        self._main: Connection | None = None

    async def start(self, database: str) -> None:
        """Open the directory and create *database* if needed; raises `StateError` if the directory cannot be used."""
        await self._in_thread(self._open, database)

    async def stop(self) -> None:
        """Wait for running queries and close the directory."""
        await asyncio.to_thread(self._threads.shutdown)
        self._sessions.close()
        if self._main is not None:
            await asyncio.to_thread(self._main.close)

    async def run(self, query: Query) -> QueryResult:
        """Run *query*; raises `QueryError`. If the caller is cancelled while the query is queued, it does not run."""
        async with self._slots[query.kind]:
            # A query in a thread cannot be cancelled, and it occupies its slot until it ends.
            work = asyncio.ensure_future(self._in_thread(self._run, query))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])
                raise

    def _open(self, database: str) -> None:
        self._main = opening.open_engine(self._directory, database)
        try:
            for statement in (*on_connect(Role.WRITER), f"CREATE DATABASE IF NOT EXISTS {quoted(database)}"):
                self._main.query(statement)
        except RuntimeError as error:
            raise StateError(reason(self._directory, str(error))) from error

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _run(self, query: Query) -> QueryResult:
        started = time.monotonic_ns()
        try:
            with self._connection(query) as connection:
                writes_rows = query.rows and query.role is Role.WRITER
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
                _use_database(connection, query)
                before = _values(connection, query.settings)
                _set(connection, query.settings)
                try:
                    yield connection
                finally:
                    _set(connection, before)
            return
        connection = _connect(query.role)
        try:
            _use_database(connection, query)
            _set(connection, query.settings)
            yield connection
        finally:
            connection.close()

    def _execute(self, connection: Connection, query: Query) -> dict[str, Any]:
        normalized = _normalize(connection, query.sql)
        sql = query.sql
        if query.role is not Role.WRITER:
            check_read(normalized, query.parameters, query.user)
            sql = normalized
        result_format = output_format(normalized) or query.default_format
        result = connection.query(sql, result_format, params=dict(query.parameters))
        if not hasattr(result, "bytes"):
            # `DataFrame` and `ArrowTable` are formats of chdb's own, which return Python objects.
            raise QueryError(73, f"Unknown format {result_format}")
        shown = result_format if returns_result(normalized) else ""
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


def _connect(role: Role) -> Connection:
    connection = opening.connect()
    try:
        for statement in on_connect(role):
            connection.query(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _use_database(connection: Connection, query: Query) -> None:
    """Select the database of *query*, as a server does: also one in which the role may read nothing."""
    try:
        if query.role is not Role.WRITER:
            connection.query("SET ROLE writer")
        connection.query(f"USE {quoted(query.database)}")
    finally:
        if query.role is not Role.WRITER:
            connection.query(f"SET ROLE {query.role}")


def _values(connection: Connection, settings: Mapping[str, str]) -> dict[str, str | None]:
    """Return the values of *settings* in the session of *connection*, None for a default."""
    if not settings:
        return {}
    names = ", ".join(map(literal, settings))
    sql = f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})"  # noqa: S608  # literals
    rows = connection.query(sql, "JSONCompactEachRow")
    values: dict[str, str | None] = dict.fromkeys(settings)
    return values | dict(json.loads(line) for line in rows.bytes().splitlines())


def _set(connection: Connection, settings: Mapping[str, str | None]) -> None:
    """Set *settings*; None is the default."""
    for name in settings:
        if not _NAME.fullmatch(name) or name == "profile":
            raise QueryError(115, f"Unknown setting '{name}'")
    assignments = [f"{name} = {'DEFAULT' if text is None else literal(text)}" for name, text in settings.items()]
    if assignments:
        connection.query(f"SET {', '.join(assignments)}")


def _normalize(connection: Connection, sql: str) -> str:
    """Return *sql* as the engine formats it; raises `QueryError` unless it is exactly one valid statement.

    Settings of the client that add rows to a result or drop some apply to *sql* only.
    """
    if "\0" in sql:
        raise QueryError(62, "Syntax error: a query cannot contain a NUL character")
    escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    try:
        formatted = connection.query(
            "SELECT formatQuerySingleLine({query:String}) SETTINGS extremes = 0, limit = 0, offset = 0",
            "TSVRaw",
            params={"query": escaped},
        )
    except Exception as error:
        fault = from_engine(error, WRITER)
        raise QueryError(fault.code, _SCOPE.sub("", str(fault))) from error
    text: str = formatted.bytes().decode()
    return text.removesuffix("\n")


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
