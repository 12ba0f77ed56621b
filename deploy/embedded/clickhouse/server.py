"""The HTTP server: translates requests into queries for the engine, and results into responses."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from deploy.embedded.clickhouse import blocks, compression, native
from deploy.embedded.clickhouse.access import check_source
from deploy.embedded.clickhouse.engine import Engine, Query, QueryResult
from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.sessions import DEFAULT_TIMEOUT_SECONDS, SessionKey
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.embedded.clickhouse.statements import is_insert, split_insert
from deploy.embedded.clickhouse.users import WRITER, User, Users, users
from deploy.errors import StateError
from deploy.logging import report_fatal

ENGINE = web.AppKey("engine", Engine)
SETTINGS = web.AppKey("settings", EmbeddedClickHouseSettings)
USERS = web.AppKey("users", Users)

_REQUEST_PARAMETERS = frozenset(
    {"query", "database", "default_format", "query_id", "session_id", "session_timeout"}
    | {"session_check", "quota_key", "wait_end_of_query", "buffer_size", "compress", "decompress", "stacktrace"}
    | {"enable_http_compression", "http_zlib_compression_level", "send_progress_in_http_headers", "role"}
    | {"http_headers_progress_interval_ms", "client_protocol_version", "add_http_cors_header"}
    | {"cancel_http_readonly_queries_on_client_close"}
)
"""URL parameters of the HTTP interface. All others are settings of the engine."""

_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(settings: EmbeddedClickHouseSettings) -> web.Application:
    """Return the server of the working directory as an application; raises `SettingsError` if a password is missing."""
    app = web.Application(client_max_size=settings.body_limit_mib * 1024 * 1024, middlewares=[_reject_browsers])
    app[SETTINGS] = settings
    app[USERS] = users(settings)
    app[ENGINE] = Engine()
    app.cleanup_ctx.append(_engine)
    app.router.add_get("/ping", _ok)
    app.router.add_get("/replicas_status", _ok)
    app.router.add_route("*", "/", _handle)
    return app


async def _engine(app: web.Application) -> Any:
    await app[ENGINE].start(app[SETTINGS].clients.database, app[USERS].project_databases())
    yield
    await app[ENGINE].stop()


@web.middleware
async def _reject_browsers(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        check_source(request.headers, request.host)
    except QueryError as error:
        return _error_response(error)
    return await handler(request)


async def _ok(request: web.Request) -> web.Response:
    del request
    return web.Response(text="Ok.\n")


async def _handle(request: web.Request) -> web.Response:
    query_id = request.query.get("query_id") or str(uuid.uuid4())
    if not query_id.isprintable():
        # A header of the reply has it, and a line break in it would begin another header.
        return _error_response(QueryError(36, "query_id must have no control characters"))
    try:
        if not request.can_read_body and "query" not in request.query:
            return await _ok(request)
        # Before the body: a stranger's bytes are not read.
        user = _authenticate(request)
        form = await _read_form(request) if request.content_type == "multipart/form-data" else {}
        parameters = {**request.query, **form}
        body = await _read_body(request)
        if not body and "query" not in parameters:
            return await _ok(request)
        query = _query(request, parameters, user, body)
        if user.project_database:
            await _add_role(request.app[ENGINE], user.project_database)
        result = await request.app[ENGINE].run(query)
        content = await asyncio.to_thread(_content, parameters, result)
    except QueryError as error:
        return _error_response(error, query_id)
    return _response(request, result, content, query_id)


async def _add_role(engine: Engine, project: str) -> None:
    try:
        await engine.add_role(project)
    except StateError as error:
        report_fatal(str(error))
        raise web.GracefulExit from error


async def _read_form(request: web.Request) -> dict[str, str]:
    """Return the fields of a form: drivers send parameters of a statement so that are too long for a URL."""
    stall = request.app[SETTINGS].body_stall_seconds
    try:
        form = await asyncio.wait_for(request.post(), stall)
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(request) from None
    except ConnectionResetError:
        raise _disconnected() from None
    except TimeoutError:
        raise QueryError(
            209, f"The form did not arrive within {stall:g} s (SEQUENCE_LOCAL_CLICKHOUSE_STALL_SECONDS)"
        ) from None
    except ValueError as error:
        raise QueryError(36, f"The form cannot be read: {error}") from error
    if not all(isinstance(value, str) for value in form.values()):
        raise QueryError(48, "External tables are not supported")
    return {name: str(value) for name, value in form.items()}


def _too_large(request: web.Request) -> QueryError:
    limit = request.app[SETTINGS].body_limit_mib * 1024 * 1024
    return QueryError(241, f"The request body exceeds {limit} bytes (SEQUENCE_LOCAL_CLICKHOUSE_BODY_MIB)")


def _disconnected() -> QueryError:
    """Return an error that nobody reads. Without it aiohttp logs an ERROR with a traceback for each such client."""
    return QueryError(210, "The client disconnected before the request body had arrived")


async def _read_body(request: web.Request) -> bytes:
    """Return the body that is left; none is after a form."""
    stall = request.app[SETTINGS].body_stall_seconds
    limit = request.app[SETTINGS].body_limit_mib * 1024 * 1024
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await asyncio.wait_for(request.content.readany(), stall):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise _too_large(request)
    except ConnectionResetError:
        raise _disconnected() from None
    except TimeoutError:
        raise QueryError(
            209, f"No byte of the request body arrived for {stall:g} s (SEQUENCE_LOCAL_CLICKHOUSE_STALL_SECONDS)"
        ) from None
    body = b"".join(chunks)
    if not body:
        return body
    body = compression.decode(body, request.headers.get("Content-Encoding", ""), limit)
    return blocks.decode(body, limit) if request.query.get("decompress") == "1" else body


def _authenticate(request: web.Request) -> User:
    """Return the user of the request; raises `QueryError` if the credentials are invalid."""
    if "user" in request.query or "password" in request.query:
        # A link can contain these, and a URL is written to histories and logs.
        raise QueryError(
            516,
            "Authentication failed: user and password are not read from the URL. Send them in headers, as curl --user.",
        )
    user = request.headers.get("X-ClickHouse-User") or WRITER
    password = request.headers.get("X-ClickHouse-Key", "")
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            raise QueryError(516, "Invalid Authorization header") from None
    return request.app[USERS].authenticate(user, password)


def _query(request: web.Request, parameters: Mapping[str, str], user: User, body: bytes) -> Query:
    """Return the query of a request with *parameters*, those of its URL and of its form."""
    # A statement can begin in the URL and continue in the body. The rows of an INSERT follow it.
    in_url = parameters.get("query", "").encode()
    text = in_url + (b"\n" if in_url and body else b"") + body
    insert = is_insert(text)
    statement, rows = split_insert(text) if insert else (text, b"")
    settings = {
        name: value
        for name, value in parameters.items()
        if name not in _REQUEST_PARAMETERS and not name.startswith("param_")
    }
    role = user.role(is_get=request.method in {"GET", "HEAD"})
    return Query(
        sql=_decode(statement).strip(),
        rows=rows,
        default_format=parameters.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated",
        database=parameters.get("database")
        or request.headers.get("X-ClickHouse-Database")
        or user.project_database
        or request.app[SETTINGS].clients.database,
        settings=settings,
        parameters={name[6:]: value for name, value in parameters.items() if name.startswith("param_")},
        kind="analyst" if user.name != WRITER else "write" if insert else "read",
        user=user.name,
        role=role,
        session=_session(user.name, role, parameters),
    )


def _session(user: str, role: str, parameters: Mapping[str, str]) -> SessionKey | None:
    if "session_id" not in parameters:
        return None
    try:
        timeout_seconds = float(parameters.get("session_timeout", DEFAULT_TIMEOUT_SECONDS))
    except ValueError:
        raise QueryError(36, "session_timeout must be a number of seconds") from None
    if math.isnan(timeout_seconds):
        # No time is after it, so the session would never end.
        raise QueryError(36, "session_timeout must be a number of seconds")
    return SessionKey(user, role, parameters["session_id"], timeout_seconds, parameters.get("session_check") == "1")


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise QueryError(62, f"The query is not valid UTF-8: {error}") from error


def _error_response(error: QueryError, query_id: str = "") -> web.Response:
    headers = {"X-ClickHouse-Exception-Code": str(error.code)}
    if query_id:
        headers["X-ClickHouse-Query-Id"] = query_id
    # A message can quote bytes of a header that are no UTF-8.
    body = error.text.encode(errors="backslashreplace")
    return web.Response(status=error.status, body=body, content_type="text/plain", charset="utf-8", headers=headers)


def _content(parameters: Mapping[str, str], result: QueryResult) -> bytes:
    """Return the content of *result* for a client that sent *parameters*."""
    content = result.content
    version = parameters.get("client_protocol_version", "")
    if result.format == "Native" and version.isdecimal() and int(version) >= native.FRAMED_SINCE:
        content = native.framed(content)
    return blocks.encode(content) if parameters.get("compress") == "1" else content


def _response(request: web.Request, result: QueryResult, content: bytes, query_id: str) -> web.Response:
    summary = {
        "read_rows": result.read_rows,
        "read_bytes": result.read_bytes,
        "written_rows": result.written_rows,
        "written_bytes": result.written_bytes,
        "total_rows_to_read": 0,
        "result_rows": result.result_rows,
        "result_bytes": len(result.content),
        "elapsed_ns": result.elapsed_ns,
    }
    headers = {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Summary": json.dumps({name: str(count) for name, count in summary.items()}),
        "X-ClickHouse-Timezone": "UTC",
        "Content-Type": _CONTENT_TYPES.get(result.format, "application/octet-stream"),
    }
    if result.format:
        headers["X-ClickHouse-Format"] = result.format
    if content and request.query.get("enable_http_compression") in {"1", "true"}:
        content, encoding = compression.encode(content, request.headers.get("Accept-Encoding", ""))
        if encoding:
            headers["Content-Encoding"] = encoding
    return web.Response(body=content, headers=headers)
