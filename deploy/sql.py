"""`sequence sql`: sends one statement to ClickHouse and streams the answer to standard output.

The statement runs as `analyst`: on the server that SEQUENCE_CLICKHOUSE_URL names if it is set, otherwise on the local
stack, whose port and passwords are found as `sequence up` finds them.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO
from urllib.request import getproxies_environment

import aiohttp
import click

from deploy import sql_liveness
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.errors import SqlError
from deploy.local import passwords, state_lock
from deploy.settings import LocalSettings, state_directory
from deploy.sql_advice import advice
from deploy.sql_columns import without_far_names
from processors.clickhouse.client import server_url
from processors.clickhouse.proxy import Proxy, proxy_for
from processors.settings import AnalystSettings
from schemas.settings import ClickHouseSettings, SettingsError, clickhouse_context, load

CONNECT_SECONDS = 5.0
_URL = "SEQUENCE_CLICKHOUSE_URL"
"""If it is not empty, statements run on a server."""
_AUTHENTICATION_FAILED = "516"
_SHOWN_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class SqlSettings:
    """Where the local stack and the server are, and the passwords of both."""

    local: LocalSettings = field(default_factory=LocalSettings)
    embedded_clickhouse: EmbeddedClickHouseSettings = field(default_factory=EmbeddedClickHouseSettings)
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    analyst: AnalystSettings = field(default_factory=AnalystSettings)


@dataclass(frozen=True, slots=True)
class Target:
    """A login on a ClickHouse, and what to do if it does not answer or rejects the password."""

    url: str
    user: str
    password: str = field(repr=False)
    database: str
    if_unreachable: str
    if_rejected: str
    if_silent: str
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None


def choose_target(environ: Mapping[str, str], *, write: bool) -> Target:
    """Return the login for the settings in *environ*: with *write* the local stack's writer, otherwise an analyst.

    Raises `SettingsError`, `StateError` if a password cannot be read, and `SqlError` if there is no such login.
    """
    if environ.get(_URL):
        return _server(load(SqlSettings, environ), write=write)
    settings = load(SqlSettings, {name: value for name, value in environ.items() if name != _URL})
    return _local_stack(settings, write=write)


def _server(settings: SqlSettings, *, write: bool) -> Target:
    clickhouse, password = settings.clickhouse, settings.analyst.password
    if write:
        raise SqlError(
            "--write is for the local stack only, but SEQUENCE_CLICKHOUSE_URL names a server. Use the server's own "
            "client, or unset SEQUENCE_CLICKHOUSE_URL."
        )
    if not password:
        raise SettingsError(
            "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD: must be set, because SEQUENCE_CLICKHOUSE_URL names a server; to "
            "query the local stack, unset SEQUENCE_CLICKHOUSE_URL"
        )
    url = server_url(clickhouse)
    return Target(
        url=f"{url.without_login.rstrip('/')}/",
        user="analyst",
        password=password,
        database=clickhouse.database,
        if_unreachable="Check SEQUENCE_CLICKHOUSE_URL and that the server is running.",
        if_rejected="Check SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD; `sequence tables migrate` sets the password.",
        if_silent="Check the server and its load.",
        tls=clickhouse_context(clickhouse) if url.scheme == "https" else None,
        proxy=proxy_for(url.scheme, url.host, url.port, getproxies_environment()),
    )


def _local_stack(settings: SqlSettings, *, write: bool) -> Target:
    state = state_directory(settings.local)
    password = passwords.find(state, settings.embedded_clickhouse, writer=write)
    if not password:
        raise SqlError(
            f"No local stack has been started with the state directory {state}. Start one with `sequence up`, set "
            "SEQUENCE_STATE_DIR to its directory, or set SEQUENCE_CLICKHOUSE_URL to a server."
        )
    if not state_lock.is_held(state):
        # While the stack is stopped, a process of another user may listen on its port and would get the password.
        raise SqlError(
            f"The local stack with the state directory {state} does not run. Start it with `sequence up`, or set "
            "SEQUENCE_CLICKHOUSE_URL to a server."
        )
    return Target(
        url=f"http://127.0.0.1:{settings.embedded_clickhouse.port}/",
        user="default" if write else "analyst",
        password=password,
        database=settings.clickhouse.database,
        if_unreachable="Wait until the local stack has started, or set SEQUENCE_LOCAL_CLICKHOUSE_PORT to its port.",
        if_rejected=f"The stack on this port does not use the state directory {state}. Set SEQUENCE_STATE_DIR to its "
        "directory, or SEQUENCE_LOCAL_CLICKHOUSE_PORT to the port of yours.",
        if_silent="`sequence status` shows its process id. Resume it with `kill -CONT` and this id.",
    )


def read_statement(statement: str | None) -> bytes:
    """Return *statement*, or standard input if it is None or `-`; raises `click.UsageError` if there is none."""
    if statement is None and sys.stdin.isatty():
        raise click.UsageError("Pass a statement, or send one to standard input.")
    text = click.get_binary_stream("stdin").read() if statement in {None, "-"} else os.fsencode(statement or "")
    if not text.strip():
        raise click.UsageError("The statement is empty.")
    return text


def run(target: Target, statement: bytes, output_format: str, output: BinaryIO) -> None:
    """Run *statement* and write its answer to *output* as it arrives. SIGINT ends the process without a message.

    There is no limit on the time of a statement while the server answers `/ping`.

    *output_format* applies to a statement without FORMAT. Raises `SqlError` if the statement fails or the server does
    not answer, and `BrokenPipeError` if the reader of *output* has gone.
    """
    with _default_interrupt():
        asyncio.run(_run(target, statement, output_format, output))


async def _run(target: Target, statement: bytes, output_format: str, output: BinaryIO) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            signs = sql_liveness.Signs()
            sent = session.post(
                target.url,
                params={"database": target.database, "default_format": output_format},
                data=io.BytesIO(statement),
                headers={"Authorization": aiohttp.encode_basic_auth(target.user, target.password, "utf-8")},
                **_route(target),
            )
            await sql_liveness.guarded(
                _answer(target, statement, sent, output, signs), partial(_ping, session, target), signs
            )
    except sql_liveness.SilentError as error:
        raise SqlError(
            f"ClickHouse at {target.url} accepts connections but has sent nothing for "
            f"{sql_liveness.SILENT_SECONDS:g} s, not even an answer to /ping: its process is suspended, or its machine "
            f"is overloaded. The statement may still run there. {target.if_silent}"
        ) from error
    except aiohttp.ClientPayloadError as error:
        raise SqlError(
            "The answer ended early, so it is incomplete: ClickHouse stopped the statement or was stopped. Its message "
            "can be at the end of the answer."
        ) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SqlError(
            f"ClickHouse at {target.url} does not answer: {_reason(error)}. {target.if_unreachable}"
        ) from error


async def _answer(
    target: Target,
    statement: bytes,
    sent: AbstractAsyncContextManager[aiohttp.ClientResponse],
    output: BinaryIO,
    signs: sql_liveness.Signs,
) -> None:
    async with sent as response:
        if response.status != 200:
            raise SqlError(_failure(target, response, await response.text(errors="replace"), statement))
        async for chunk in response.content.iter_any():
            _write(output, chunk)
            signs.note()


async def _ping(session: aiohttp.ClientSession, target: Target, within_seconds: float) -> None:
    """Return once the server, or a reverse proxy before it, has answered anything."""
    timeout = aiohttp.ClientTimeout(total=within_seconds)
    async with session.get(f"{target.url}ping", timeout=timeout, **_route(target)):
        pass


def _route(target: Target) -> dict[str, Any]:
    """Return the arguments of a request about TLS and the proxy."""
    proxy = target.proxy
    return {
        "ssl": target.tls or True,
        "proxy": proxy.url if proxy else None,
        "proxy_auth": aiohttp.BasicAuth.decode(proxy.authorization) if proxy and proxy.authorization else None,
        "allow_redirects": False,
    }


def _reason(error: Exception) -> str:
    """Return the system's words for a refused connection or an unknown host; those of aiohttp repeat the address."""
    if not isinstance(error, aiohttp.ClientConnectorError):
        return str(error) or type(error).__name__
    cause = error.os_error
    if isinstance(cause, socket.gaierror):
        return f"{cause.strerror}: {error.host}"
    if not isinstance(cause, ConnectionError) or not cause.errno:
        return str(error)
    reason = os.strerror(cause.errno)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"{reason} by the proxy {error.host}:{error.port} that HTTP_PROXY or HTTPS_PROXY names"
    return reason


def _write(output: BinaryIO, chunk: bytes) -> None:
    try:
        output.write(chunk)
        output.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SqlError(
            f"Cannot write the answer to standard output: {error.strerror}. Part of it is missing."
        ) from error


def _failure(target: Target, response: aiohttp.ClientResponse, text: str, statement: bytes) -> str:
    """Return the message for a reply with an error status."""
    code = response.headers.get("X-ClickHouse-Exception-Code")
    if code == _AUTHENTICATION_FAILED:
        return f"ClickHouse at {target.url} rejects the password of {target.user}. {target.if_rejected}"
    if code is None:
        return (
            f"{target.url} answered with status {response.status} and not as ClickHouse does: "
            f"{text.strip()[:_SHOWN_CHARACTERS]!r}. {target.if_unreachable}"
        )
    text = without_far_names(text.strip())
    return "\n".join(filter(None, [text, advice(text, statement.decode(errors="replace"))]))


@contextmanager
def _default_interrupt() -> Iterator[None]:
    """Let SIGINT end the process at once for the block, even while it writes to a terminal that is stopped."""
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def discard_output() -> None:
    """Send the rest of standard output nowhere: its reader has gone, and the interpreter flushes at the end."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  # a device, not a path of ours
        os.dup2(nowhere.fileno(), 1)
