"""The front's HTTP side: what a request asks, and how the answer goes back."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from deploy.embedded.clickhouse import compression
from deploy.embedded.clickhouse.access import ANALYST, WRITER, Users
from deploy.embedded.clickhouse.engine import Answer, Engine, Query
from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.sessions import DEFAULT_TIMEOUT_SECONDS, SessionKey
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.embedded.clickhouse.statements import is_insert, split_insert
from deploy.settings import state_directory

ENGINE = web.AppKey("engine", Engine)
SETTINGS = web.AppKey("settings", EmbeddedClickHouseSettings)

_PROTOCOL = frozenset(
    {"query", "database", "default_format", "user", "password", "query_id", "session_id", "session_timeout"}
    | {"session_check", "quota_key", "wait_end_of_query", "buffer_size", "compress", "decompress", "stacktrace"}
    | {"enable_http_compression", "http_zlib_compression_level", "send_progress_in_http_headers", "role"}
    | {"http_headers_progress_interval_ms", "client_protocol_version", "add_http_cors_header"}
    | {"cancel_http_readonly_queries_on_client_close"}
)
"""URL parameters that are about the request and not settings of the engine."""

_CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
}
_LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(settings: EmbeddedClickHouseSettings) -> web.Application:
    """Return the front as an aiohttp application."""
    app = web.Application(client_max_size=settings.body_limit_mib * 1024 * 1024, middlewares=[_keep_pages_out])
    app[SETTINGS] = settings
    app[ENGINE] = Engine(state_directory(settings.local) / "clickhouse")
    app.cleanup_ctx.append(_engine)
    app.router.add_get("/ping", _ok)
    app.router.add_get("/replicas_status", _ok)
    app.router.add_route("*", "/", _handle)
    return app


async def _engine(app: web.Application) -> Any:
    await app[ENGINE].start(app[SETTINGS].clients.database)
    yield
    await app[ENGINE].stop()


@web.middleware
async def _keep_pages_out(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a web page sends: without a password, any page open in a browser here could read and write."""
    name = urlsplit(f"//{request.host}").hostname
    if "Origin" in request.headers or name not in _LOCAL_NAMES:
        return _failed(QueryError(497, "requests of web pages are not answered, nor under other names than localhost"))
    return await handler(request)


async def _ok(request: web.Request) -> web.Response:
    del request
    return web.Response(text="Ok.\n")


async def _handle(request: web.Request) -> web.Response:
    query_id = request.query.get("query_id") or str(uuid.uuid4())
    try:
        body = await _read_body(request)
        if not body and "query" not in request.query:
            return await _ok(request)
        user = _authenticate(request)
        answer = await request.app[ENGINE].run(_query(request, user, body))
    except QueryError as error:
        return _failed(error, query_id)
    return _respond(request, answer, query_id)


async def _read_body(request: web.Request) -> bytes:
    stall = request.app[SETTINGS].body_stall_seconds
    limit = request.app[SETTINGS].body_limit_mib * 1024 * 1024
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await asyncio.wait_for(request.content.readany(), stall):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise QueryError(241, f"the request's body has more than {limit} bytes")
    except TimeoutError:
        raise QueryError(209, f"the request's body brought nothing for {stall:g} s") from None
    body = b"".join(chunks)
    return compression.decode(body, request.headers.get("Content-Encoding", "")) if body else body


def _authenticate(request: web.Request) -> str:
    """Return who asks."""
    settings = request.app[SETTINGS]
    user = request.headers.get("X-ClickHouse-User") or request.query.get("user") or WRITER
    password = request.headers.get("X-ClickHouse-Key") or request.query.get("password") or ""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise QueryError(516, "the Authorization header cannot be read") from None
    Users(settings.password, settings.analyst_password).authenticate(user, password)
    return user


def _query(request: web.Request, user: str, body: bytes) -> Query:
    if request.content_type == "multipart/form-data":
        raise QueryError(48, "external tables and multipart requests are not supported here")
    parameters = request.query
    if "1" in {parameters.get("compress"), parameters.get("decompress")}:
        raise QueryError(48, "ClickHouse's own compression of blocks is not supported here; HTTP's is")
    # A statement may begin in the URL and go on in the body; an INSERT's rows follow it.
    in_url = parameters.get("query", "").encode()
    text = in_url + (b"\n" if in_url and body else b"") + body
    insert = is_insert(text)
    if insert and request.method == "GET":
        raise QueryError(164, "Cannot execute query in readonly mode: method GET implies readonly.")
    statement, rows = split_insert(text) if insert else (text, b"")
    settings = {
        name: value for name, value in parameters.items() if name not in _PROTOCOL and not name.startswith("param_")
    }
    return Query(
        sql=_decoded(statement).strip(),
        rows=rows,
        default_format=parameters.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated",
        database=parameters.get("database")
        or request.headers.get("X-ClickHouse-Database")
        or request.app[SETTINGS].clients.database,
        settings=settings,
        parameters={name[6:]: value for name, value in parameters.items() if name.startswith("param_")},
        kind="analyst" if user == ANALYST else "write" if insert else "read",
        read_only=request.method == "GET",
        session=_session(user, parameters),
    )


def _session(user: str, parameters: Mapping[str, str]) -> SessionKey | None:
    if "session_id" not in parameters or user == ANALYST:
        # An analyst can set nothing and make nothing, so there is nothing to keep.
        return None
    try:
        timeout_seconds = float(parameters.get("session_timeout", DEFAULT_TIMEOUT_SECONDS))
    except ValueError:
        raise QueryError(36, "session_timeout needs a number of seconds") from None
    return SessionKey(user, parameters["session_id"], timeout_seconds, parameters.get("session_check") == "1")


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise QueryError(62, f"the query is not UTF-8: {error}") from error


def _failed(error: QueryError, query_id: str = "") -> web.Response:
    headers = {"X-ClickHouse-Exception-Code": str(error.code)}
    if query_id:
        headers["X-ClickHouse-Query-Id"] = query_id
    return web.Response(status=error.status, text=error.text, headers=headers)


def _respond(request: web.Request, answer: Answer, query_id: str) -> web.Response:
    summary = {
        "read_rows": answer.read_rows,
        "read_bytes": answer.read_bytes,
        "written_rows": answer.written_rows,
        "written_bytes": answer.written_bytes,
        "total_rows_to_read": 0,
        "result_rows": answer.result_rows,
        "result_bytes": len(answer.content),
        "elapsed_ns": answer.elapsed_ns,
    }
    headers = {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Summary": json.dumps({name: str(count) for name, count in summary.items()}),
        "X-ClickHouse-Timezone": "UTC",
        "Content-Type": _CONTENT_TYPES.get(answer.format, "application/octet-stream"),
    }
    if answer.format:
        headers["X-ClickHouse-Format"] = answer.format
    content = answer.content
    if content and request.query.get("enable_http_compression") in {"1", "true"}:
        content, encoding = compression.encode(content, request.headers.get("Accept-Encoding", ""))
        if encoding:
            headers["Content-Encoding"] = encoding
    return web.Response(body=content, headers=headers)
