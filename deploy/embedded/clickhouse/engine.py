"""The engine: one `chdb` data directory, and a connection of its own for every query.

A connection costs a third of a millisecond, so none is used twice: nothing that a query sets can meet the next one.
Only a session keeps its connection. A connection runs one query at a time, and connections run side by side; reads,
writes and analysts have shares of their own, so that no slow SELECT holds an INSERT up.

`Connection.send_insert` looks made for rows that come with a request, but it is silent about errors that come after
parsing (a constraint, too many parts, no memory): the rows are gone and it says that they were written. So rows go
through a file, which reports every error.
"""

from __future__ import annotations

import asyncio
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

from deploy.embedded.clickhouse.access import ANALYST_LIMITS, check_analyst
from deploy.embedded.clickhouse.errors import QueryError, from_engine
from deploy.embedded.clickhouse.sessions import SessionKey, Sessions
from deploy.embedded.clickhouse.statements import answers, output_format, reading_rows, takes_values
from deploy.errors import DeployError

SHARES = {"read": 6, "write": 3, "analyst": 3}
"""How many queries of a kind run at the same time; others wait."""

_NAME = re.compile(r"\w+")
_SCOPE = re.compile(r": In scope SELECT formatQuery.*(?= \([A-Z_]+\)$)", re.DOTALL)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """One query with everything that goes with it."""

    sql: str
    rows: bytes = b""
    """Rows of an INSERT, in the format that the statement names."""
    default_format: str = "TabSeparated"
    database: str = "default"
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    kind: str = "read"
    """Which of `SHARES` it belongs to; an analyst's query may only read the tables."""
    read_only: bool = False
    """Refuse what is no question; an analyst's is refused in any case."""
    session: SessionKey | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query came to."""

    content: bytes = b""
    format: str = ""
    """In which `content` is written; empty where the statement has no answer."""
    read_rows: int = 0
    read_bytes: int = 0
    result_rows: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed_ns: int = 0


class Engine:
    """The `chdb` of one directory. Its methods are for one event loop; the work is done in threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = ThreadPoolExecutor(sum(SHARES.values()), thread_name_prefix="clickhouse")
        self._shares = {kind: asyncio.Semaphore(count) for kind, count in SHARES.items()}
        self._sessions = Sessions(self._connect)
        self._first: Connection | None = None
        self._table_functions: frozenset[str] = frozenset()

    async def start(self, database: str) -> None:
        """Open the directory and make *database* if it is missing; raises `DeployError` where it is in use."""
        await self._in_thread(self._open, database)

    async def stop(self) -> None:
        """Close the directory once what runs has ended."""
        await asyncio.to_thread(self._threads.shutdown)
        self._sessions.close()
        if self._first is not None:
            await asyncio.to_thread(self._first.close)

    async def run(self, query: Query) -> Answer:
        """Run *query*; raises `QueryError`. Cancelled before its turn, it does not run at all."""
        async with self._shares[query.kind]:
            # Once begun, it runs to its end whatever happens to whoever asked.
            work = asyncio.ensure_future(self._in_thread(self._run, query))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])
                raise

    def _open(self, database: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            self._first = self._connect()
        except RuntimeError as error:
            raise DeployError(f"{self._directory} is in use by another ClickHouse, or damaged: {error}") from error
        self._first.query(f"CREATE DATABASE IF NOT EXISTS {_identifier(database)}")
        names = self._first.query("SELECT name FROM system.table_functions", "TabSeparated")
        self._table_functions = frozenset(names.bytes().decode().split())

    def _connect(self) -> Connection:
        return Connection(str(self._directory))

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    def _run(self, query: Query) -> Answer:
        started = time.monotonic_ns()
        try:
            with self._connection(query) as connection:
                answer = self._insert(connection, query) if query.rows else self._ask(connection, query)
        except QueryError:
            raise
        except Exception as error:
            raise from_engine(error) from error
        return Answer(**{**answer, "elapsed_ns": time.monotonic_ns() - started})

    @contextmanager
    def _connection(self, query: Query) -> Iterator[Connection]:
        if query.session is not None:
            with self._sessions.use(query.session) as connection:
                _prepare(connection, query)
                try:
                    yield connection
                finally:
                    _set(connection, dict.fromkeys(query.settings), "DEFAULT")
            return
        connection = self._connect()
        try:
            _prepare(connection, query)
            yield connection
        finally:
            connection.close()

    def _ask(self, connection: Connection, query: Query) -> dict[str, Any]:
        normal = _rendered(connection, query.sql)
        if query.kind == "analyst":
            check_analyst(normal, self._table_functions)
        elif query.read_only and not answers(normal):
            raise QueryError(164, "Cannot execute query in readonly mode: method GET implies readonly.")
        sql = normal if query.kind == "analyst" else query.sql
        answer_format = output_format(normal) or query.default_format
        result = connection.query(sql, answer_format, params=dict(query.parameters))
        named = answer_format if answers(normal) else ""
        return {"content": result.bytes(), "format": named, **_counts(result)}

    def _insert(self, connection: Connection, query: Query) -> dict[str, Any]:
        if takes_values(query.sql):
            try:
                text = query.sql + query.rows.decode()
            except UnicodeDecodeError as error:
                raise QueryError(62, f"the values are not UTF-8: {error}") from error
            return _counts(connection.query(text, params=dict(query.parameters)))
        with _file(query.rows) as path:
            sql = reading_rows(query.sql, path)
            return _counts(connection.query(sql, params=dict(query.parameters)))


def _prepare(connection: Connection, query: Query) -> None:
    connection.query(f"USE {_identifier(query.database)}")
    if query.kind == "analyst":
        _set(connection, ANALYST_LIMITS)
    _set(connection, query.settings)
    if query.kind == "analyst":
        _set(connection, {"readonly": "1"})


def _set(connection: Connection, settings: Mapping[str, str | None], value: str = "") -> None:
    assignments = []
    for name, text in settings.items():
        if not _NAME.fullmatch(name):
            raise QueryError(115, f"Unknown setting '{name}'")
        assignments.append(f"{name} = {value or _literal(text or '')}")
    if assignments:
        connection.query(f"SET {', '.join(assignments)}")


def _rendered(connection: Connection, sql: str) -> str:
    """Return *sql* as the engine writes it; raises where it is no statement, or more than one."""
    if "\0" in sql:
        raise QueryError(62, "Syntax error: a query has no NUL")
    escaped = sql.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    try:
        rendered = connection.query("SELECT formatQuerySingleLine({query:String})", "TSVRaw", params={"query": escaped})
    except Exception as error:
        fault = from_engine(error)
        raise QueryError(fault.code, _SCOPE.sub("", str(fault))) from error
    text: str = rendered.bytes().decode()
    return text.removesuffix("\n")


def _counts(result: Any) -> dict[str, Any]:
    return {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "result_rows": result.rows_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
    }


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """Yield the path of a file with *content*: in memory where the system can, so that no disk is written twice."""
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


def _identifier(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
