"""ClickHouse client over HTTP: a thin layer on clickhouse-connect that sends each statement at most once.

clickhouse-connect retries `insert` and `raw_insert` after a remote close, and `insert` splits rows into blocks.
`command` with a body does neither and accepts `INSERT … SELECT … FROM input(…)`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from socket import gaierror
from typing import Any
from urllib.request import getproxies_environment

import clickhouse_connect
import orjson
from clickhouse_connect import common
from clickhouse_connect.driver import httputil
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.exceptions import ProgrammingError
from clickhouse_connect.driver.summary import QuerySummary

from processors.clickhouse.codes import LOGIN_CODES, FaultKind, fault_of_code
from processors.clickhouse.errors import (
    CertificateError,
    ClickHouseError,
    LostAnswerError,
    RejectedRowsError,
    TooLateError,
    UnavailableError,
)
from processors.clickhouse.proxy import proxy_for
from schemas.addresses import HttpUrl, http_url
from schemas.clickhouse.replicated import cluster_settings
from schemas.settings import ClickHouseSettings, clickhouse_context

# No result is read in ClickHouse's native format, so a new client does not ask for the version of it.
common.set_setting("use_protocol_version", value=False)

CONNECT_SECONDS = 3
ANSWER_SECONDS = 8
"""Time for a response. An INSERT carries the earlier of this deadline and the end of the lease."""

DEADLINE_PASSED = "the deadline of this INSERT has passed"
"""The message with which an INSERT's own condition fails. Code 395 alone can be from anybody's `throwIf`."""
_THROW_IF = 395
_BY_KIND = {
    FaultKind.ROW: RejectedRowsError,
    FaultKind.SIZE: UnavailableError,
    FaultKind.UNAVAILABLE: UnavailableError,
}
_CONNECT_ERRORS = frozenset({"ConnectTimeoutError", "ProxyError"})
"""Errors of the driver's HTTP library, which is none of our dependencies, before it has sent a request."""


class ClickHouse:
    """A connection to a ClickHouse server. Methods block and are thread-safe.

    Raises `SettingsError` if a file of TLS cannot be used, or if the proxy is not an HTTP proxy.
    """

    def __init__(
        self, settings: ClickHouseSettings, *, database: str | None = None, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._settings = settings
        self._answer_seconds = answer_seconds
        self._url = server_url(settings)
        self.database = settings.database if database is None else database
        self.cluster = settings.cluster
        """The cluster whose servers are replicas of the tables; empty for one server."""
        # With a pool of its own, the driver does not read the proxy from the environment.
        self._pool = httputil.get_pool_manager(**_pool_options(self._url, settings))
        self._client: Client | None = None

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of *sql*; *parameters* fill its `{name:Type}` placeholders.

        The driver sends parameters of more than 4 kB as a form, in which servers limit the size of a value: write a
        long list into *sql*.
        """
        return self.query_with({}, sql, parameters)

    def query_with(
        self, settings: Mapping[str, Any], sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of *sql* as `query` does, with *settings*."""
        with _translated_errors(self._url.without_login, self._settings.username):
            answer = self._connected().raw_query(sql, dict(parameters or {}), dict(settings), fmt="JSONEachRow")
        return [orjson.loads(line) for line in answer.splitlines()]

    def execute(self, sql: str, body: bytes | None = None, settings: Mapping[str, Any] | None = None) -> int:
        """Run *sql* with *body* as its input and return the number of rows written. It is sent at most once."""
        return self.execute_counted(sql, body, settings)[1]

    def execute_counted(
        self, sql: str, body: bytes | None = None, settings: Mapping[str, Any] | None = None
    ) -> tuple[int, int]:
        """Run *sql* as `execute` does, and return the numbers of rows read and written."""
        with _translated_errors(self._url.without_login, self._settings.username):
            summary = self._connected().command(sql, data=body, settings=dict(settings or {}))
        if not isinstance(summary, QuerySummary):
            return 0, 0
        return int(summary.summary.get("read_rows", 0)), summary.written_rows

    def discard(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        """Run the SELECT *sql* and leave its result in the server."""
        with _translated_errors(self._url.without_login, self._settings.username):
            self._connected().raw_query(sql, settings=dict(settings or {}), fmt="Null")

    def clock(self) -> float:
        """Return a time that the server's clock has shown, in seconds since 1970."""
        rows = self.query("SELECT toUnixTimestamp64Micro(now64(6)) AS micros")
        return int(rows[0]["micros"]) / 1e6

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._pool.clear()
        httputil.all_managers.pop(self._pool, None)

    def _connected(self) -> Client:
        if self._client is None:
            self._client = clickhouse_connect.get_client(
                interface=self._url.scheme,
                host=self._url.host,
                port=self._url.port,
                proxy_path=self._url.path,
                username=self._settings.username,
                password=self._settings.password,
                database=self.database,
                connect_timeout=CONNECT_SECONDS,
                send_receive_timeout=self._answer_seconds,
                autogenerate_session_id=False,
                query_limit=0,
                pool_mgr=self._pool,
                settings=cluster_settings(self._answer_seconds) if self.cluster else None,
            )
        return self._client


def server_url(settings: ClickHouseSettings) -> HttpUrl:
    """Return the URL of *settings* with its port: ClickHouse's own, or that of the scheme for a URL with a path.

    A path belongs to a reverse proxy.
    """
    url = http_url(settings.url)
    ports = {"http": 80, "https": 443} if url.path.strip("/") else {"http": 8123, "https": 8443}
    return replace(url, port=url.port or ports[url.scheme])


def _pool_options(url: HttpUrl, settings: ClickHouseSettings) -> dict[str, Any]:
    """Return the arguments of the driver's connection pool: TLS and proxy."""
    options: dict[str, Any] = {}
    if url.scheme == "https":
        options["ssl_context"] = clickhouse_context(settings)
    if proxy := proxy_for(url.scheme, url.host, url.port, getproxies_environment()):
        options["http_proxy"] = proxy.url
        if proxy.authorization:
            options["proxy_headers"] = {"Proxy-Authorization": proxy.authorization}
    return options


@contextmanager
def _translated_errors(address: str, user: str) -> Iterator[None]:
    """Raise the errors of `processors.clickhouse.errors` in place of the driver's; they name *address* and *user*."""
    try:
        yield
    except (DriverError, OSError) as error:
        if (reason := _certificate_fault(error)) is not None:
            raise CertificateError(
                f"The certificate of ClickHouse at {address} cannot be verified: {reason}. Check the certificate, "
                "SEQUENCE_CLICKHOUSE_CA_FILE and the host name in SEQUENCE_CLICKHOUSE_URL."
            ) from error
        raise _translated(error, address, user) from error


def _translated(error: DriverError | OSError, address: str, user: str) -> ClickHouseError:
    code = error.code if isinstance(error, DriverError) else None
    text = str(error)
    if code is None:
        if isinstance(error, ProgrammingError):
            return ClickHouseError(text)
        return UnavailableError(text) if _was_not_sent(error) else LostAnswerError(text)
    if code == _THROW_IF and f"DB::Exception: {DEADLINE_PASSED}" in text:
        return TooLateError(text, code)
    if code in LOGIN_CODES:
        text = (
            f"ClickHouse at {address} rejects the password of {user}. Check SEQUENCE_CLICKHOUSE_USERNAME and "
            "SEQUENCE_CLICKHOUSE_PASSWORD."
        )
    return _BY_KIND.get(fault_of_code(code).kind, ClickHouseError)(text, code)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _was_not_sent(error: BaseException) -> bool:
    """Return whether *error* is that of a connection that could not be made."""
    return any(
        isinstance(cause, ConnectionRefusedError | gaierror)
        or any(kind.__name__ in _CONNECT_ERRORS for kind in type(cause).__mro__)
        for cause in _causes(error)
    )


def _certificate_fault(error: BaseException) -> str | None:
    """Return why a certificate was not accepted, None if *error* has another cause."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message.rstrip(".")
    return None
