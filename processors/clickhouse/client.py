"""ClickHouse client over HTTP: a thin layer on clickhouse-connect that sends each statement at most once.

clickhouse-connect retries `insert` and `raw_insert` after a remote close, and `insert` splits rows into blocks.
`command` with a body does neither and accepts `INSERT … SELECT … FROM input(…)`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import orjson
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.exceptions import ProgrammingError
from clickhouse_connect.driver.summary import QuerySummary

from processors.clickhouse.errors import ClickHouseError, RejectedRowsError, TooLateError, UnavailableError
from schemas.settings import ClickHouseSettings

CONNECT_SECONDS = 3
ANSWER_SECONDS = 8
"""Time for a response. An INSERT carries the earlier of this deadline and the end of the lease."""

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_UNAVAILABLE = frozenset({159, 164, 202, 203, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 439, 999})
"""Timeouts, limits on load, memory, parts and disk, read-only tables, shutdown."""
_REJECTED_ROWS = frozenset(
    {6, 26, 27, 32, 33, 38, 41, 43, 53, 69, 70, 72, 117, 130, 131, 246, 306, 349, 441, 467, 524, 636}
)
"""Values that cannot be parsed or converted."""
_TOO_LATE = 395
"""`throwIf`, the deadline condition of INSERTs."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """A reading of the server's clock: at local time *monotonic* it showed at least *seconds* since 1970."""

    seconds: float
    monotonic: float

    def at(self, monotonic: float) -> float:
        """Return the lower bound of the server's clock at *monotonic*."""
        return self.seconds + (monotonic - self.monotonic)


class ClickHouse:
    """A connection to a ClickHouse server. Methods block and are thread-safe."""

    def __init__(self, settings: ClickHouseSettings, *, database: str | None = None) -> None:
        self._settings = settings
        self._database = settings.database if database is None else database
        self._client: Client | None = None

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of *sql*; *parameters* fill its `{name:Type}` placeholders."""
        with _translated_errors():
            answer = self._connected().raw_query(sql, dict(parameters or {}), fmt="JSONEachRow")
        return [orjson.loads(line) for line in answer.splitlines()]

    def execute(self, sql: str, body: bytes | None = None, settings: Mapping[str, Any] | None = None) -> int:
        """Run *sql* with *body* as its input and return the number of rows written. It is sent at most once."""
        with _translated_errors():
            summary = self._connected().command(sql, data=body, settings=dict(settings or {}))
        return summary.written_rows if isinstance(summary, QuerySummary) else 0

    def clock(self) -> ServerClock:
        """Read the server's clock."""
        rows = self.query("SELECT toUnixTimestamp64Micro(now64(6)) AS micros")
        return ServerClock(int(rows[0]["micros"]) / 1e6, time.monotonic())

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> Client:
        if self._client is None:
            url = urlsplit(self._settings.url)
            self._client = clickhouse_connect.get_client(
                interface=url.scheme,
                host=url.hostname or "127.0.0.1",
                port=url.port or (8443 if url.scheme == "https" else 8123),
                username=self._settings.username,
                password=self._settings.password,
                database=self._database,
                connect_timeout=CONNECT_SECONDS,
                send_receive_timeout=ANSWER_SECONDS,
                autogenerate_session_id=False,
                query_limit=0,
            )
        return self._client


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise the errors of `processors.clickhouse.errors` in place of the driver's."""
    try:
        yield
    except (DriverError, OSError) as error:
        code = error.code if isinstance(error, DriverError) else None
        if code in _UNAVAILABLE or (code is None and not isinstance(error, ProgrammingError)):
            raise UnavailableError(str(error)) from error
        if code == _TOO_LATE:
            raise TooLateError(str(error)) from error
        if code in _REJECTED_ROWS:
            raise RejectedRowsError(str(error)) from error
        raise ClickHouseError(str(error)) from error
