"""ClickHouse over HTTP: a thin layer on clickhouse-connect that never sends an insert twice by itself.

clickhouse-connect's `insert` and `raw_insert` are sent again by the driver after a remote close, and `insert` splits
into blocks; `command` with a body does neither, and takes an `INSERT … SELECT … FROM input(…)`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import orjson
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.exceptions import ProgrammingError
from clickhouse_connect.driver.summary import QuerySummary

from processors.clickhouse.errors import ClickHouseError, RefusedRowsError, TooLateError, UnavailableError
from schemas.settings import ClickHouseSettings

CONNECT_SECONDS = 3
ANSWER_SECONDS = 8
"""Shorter than the workers' session timeout: an insert is given up while the partition is still ours."""

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_NOT_NOW = frozenset({159, 164, 202, 203, 209, 210, 236, 241, 242, 243, 252, 319, 394, 425, 439, 999})
"""Time-outs, limits on load, memory, parts and disk, read-only tables, shutting down."""
_BAD_ROWS = frozenset({6, 26, 27, 32, 33, 38, 41, 43, 53, 69, 70, 72, 117, 130, 131, 246, 306, 349, 441, 467, 524, 636})
"""What cannot be parsed or converted."""
_TOO_LATE = 395
"""`throwIf`: the condition that INSERTs bear."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """The server's clock, read over the network: its value at *monotonic* was at least *seconds* since 1970."""

    seconds: float
    monotonic: float

    def at(self, monotonic: float) -> float:
        """Return the least that the server's clock can show at *monotonic*."""
        return self.seconds + (monotonic - self.monotonic)


class ClickHouse:
    """A connection to one ClickHouse. Methods block; they may be called from several threads."""

    def __init__(self, settings: ClickHouseSettings, *, database: str | None = None) -> None:
        self._settings = settings
        self._database = settings.database if database is None else database
        self._client: Client | None = None

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of *sql*, whose `{name:Type}` are filled from *parameters*."""
        with _translated():
            answer = self._connected().raw_query(sql, dict(parameters or {}), fmt="JSONEachRow")
        return [orjson.loads(line) for line in answer.splitlines()]

    def execute(self, sql: str, body: bytes | None = None, settings: Mapping[str, Any] | None = None) -> int:
        """Run *sql*, with *body* as its input; return how many rows it wrote. It is sent once at most."""
        with _translated():
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


class _translated:  # noqa: N801  # reads as the verb it is
    """Turns the driver's errors into ours."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, DriverError | OSError):
            return
        code = error.code if isinstance(error, DriverError) else None
        if code in _NOT_NOW or (code is None and not isinstance(error, ProgrammingError)):
            raise UnavailableError(str(error)) from error
        if code == _TOO_LATE:
            raise TooLateError(str(error)) from error
        if code in _BAD_ROWS:
            raise RefusedRowsError(str(error)) from error
        raise ClickHouseError(str(error)) from error
