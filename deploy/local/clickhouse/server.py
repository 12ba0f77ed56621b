"""The front's HTTP side."""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import json
import re
import uuid
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import brotli
import lz4.frame
import zstandard
from aiohttp import web

from deploy.local.clickhouse.access import WRITER, Users, check_analyst, is_read
from deploy.local.clickhouse.engine import Answer, Engine, Query
from deploy.local.clickhouse.errors import QueryError
from deploy.local.clickhouse_settings import ClickHouseFrontSettings

ENGINE = web.AppKey("engine", Engine)
SETTINGS = web.AppKey("settings", ClickHouseFrontSettings)

_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b.*)?;?\s*$", re.IGNORECASE | re.DOTALL)
_INSERT_ENDS = re.compile(rb"\bFORMAT\s+\w+[ \t]*(?:\r?\n|[ \t]|$)", re.IGNORECASE)
_INSERT = re.compile(r"\s*INSERT\b", re.IGNORECASE)

_PROTOCOL = frozenset(
    {"query", "database", "default_format", "user", "password", "query_id", "session_id", "session_timeout"}
    | {"session_check", "quota_key", "wait_end_of_query", "buffer_size", "compress", "decompress", "stacktrace"}
    | {"enable_http_compression", "http_zlib_compression_level", "send_progress_in_http_headers", "role"}
    | {
        "http_headers_progress_interval_ms",
        "client_protocol_version",
        "add_http_cors_header",
        "cancel_http_readonly_queries_on_client_close",
    }
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
_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
    "br": brotli.decompress,
    "lz4": lz4.frame.decompress,
}
_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=1).compress(body),
    "lz4": lz4.frame.compress,
    "gzip": lambda body: gzip.compress(body, compresslevel=1),
}


def create_app(settings: ClickHouseFrontSettings) -> web.Application:
    """Return the front as an aiohttp application."""
    app = web.Application(client_max_size=settings.body_limit_mib * 1024 * 1024)
    app[SETTINGS] = settings
    app[ENGINE] = Engine(Path(settings.state_dir).expanduser().absolute() / "clickhouse")
    app.cleanup_ctx.append(_engine)
    app.router.add_get("/ping", _ok)
    app.router.add_get("/replicas_status", _ok)
    app.router.add_route("*", "/", _handle)
    return app


async def _engine(app: web.Application) -> Any:
    await app[ENGINE].start(app[SETTINGS].database)
    yield
    await app[ENGINE].stop()


async def _ok(request: web.Request) -> web.Response:
    del request
    return web.Response(text="Ok.\n")


async def _handle(request: web.Request) -> web.Response:
    query_id = request.query.get("query_id") or str(uuid.uuid4())
    try:
        body = await _read_body(request)
        if not body and "query" not in request.query:
            return await _ok(request)
        read_only = _authenticate(request)
        query = _query(request, body)
        pool = _pool(request, query, read_only=read_only)
        answer = await request.app[ENGINE].run(pool, query)
    except QueryError as error:
        headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
        return web.Response(status=error.status, text=error.text, headers=headers)
    return _respond(request, query, answer, query_id)


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
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return body
    decode = _DECODERS.get(encoding)
    if decode is None:
        raise QueryError(36, f"Unknown Content-Encoding: {encoding}")
    try:
        return decode(body)
    except (OSError, EOFError, RuntimeError, zlib.error, zstandard.ZstdError, brotli.error) as error:
        raise QueryError(117, f"the request's body is not {encoding}: {error}") from error


def _authenticate(request: web.Request) -> bool:
    settings = request.app[SETTINGS]
    user = request.headers.get("X-ClickHouse-User") or request.query.get("user") or WRITER
    password = request.headers.get("X-ClickHouse-Key") or request.query.get("password") or ""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise QueryError(516, "the Authorization header cannot be read") from None
    return Users(settings.password, settings.analyst_password).authenticate(user, password)


def _query(request: web.Request, body: bytes) -> Query:
    if request.content_type == "multipart/form-data":
        raise QueryError(48, "external tables and multipart requests are not supported here")
    in_url = request.query.get("query", "")
    sql, rows = (in_url, body) if _INSERT.match(in_url) else _split(in_url, body)
    settings = {
        name: value for name, value in request.query.items() if name not in _PROTOCOL and not name.startswith("param_")
    }
    named = _FORMAT.search(sql)
    default = request.query.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated"
    return Query(
        sql=sql,
        body=rows,
        format=named[1] if named else default,
        database=request.query.get("database")
        or request.headers.get("X-ClickHouse-Database")
        or request.app[SETTINGS].database,
        settings=settings,
        parameters={name[6:]: value for name, value in request.query.items() if name.startswith("param_")},
    )


def _split(in_url: str, body: bytes) -> tuple[str, bytes]:
    """Return statement and rows: a statement may begin in the URL and go on in the body, an INSERT's rows follow it."""
    text = in_url.encode() + (b"\n" if in_url and body else b"") + body
    if _INSERT.match(text[:64].decode("utf-8", "replace")) and (end := _INSERT_ENDS.search(text[:65536])):
        return _decoded(text[: end.end()]).strip(), text[end.end() :]
    return _decoded(text).strip().removesuffix(";"), b""


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise QueryError(62, f"the query is not UTF-8: {error}") from error


def _pool(request: web.Request, query: Query, *, read_only: bool) -> str:
    if read_only:
        check_analyst(query.sql, request.app[ENGINE].table_functions)
        return "analyst"
    if is_read(query.sql):
        return "read"
    if request.method == "GET":
        raise QueryError(
            164, "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly."
        )
    return "write"


def _respond(request: web.Request, query: Query, answer: Answer, query_id: str) -> web.Response:
    summary = {
        "read_rows": str(answer.read_rows),
        "read_bytes": "0",
        "written_rows": str(answer.written_rows),
        "written_bytes": "0",
        "total_rows_to_read": "0",
        "result_rows": "0",
        "result_bytes": str(len(answer.content)),
        "elapsed_ns": str(answer.elapsed_ns),
    }
    headers = {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Summary": json.dumps(summary, separators=(",", ":")),
        "X-ClickHouse-Timezone": "UTC",
        "Content-Type": _CONTENT_TYPES.get(query.format, "application/octet-stream"),
    }
    if answer.content or is_read(query.sql):
        headers["X-ClickHouse-Format"] = query.format
    content = answer.content
    encoding = _accepted(request.query, request.headers)
    if encoding and content:
        content = _ENCODERS[encoding](content)
        headers["Content-Encoding"] = encoding
    return web.Response(body=content, headers=headers)


def _accepted(parameters: Mapping[str, str], headers: Mapping[str, str]) -> str:
    if parameters.get("enable_http_compression") not in {"1", "true"}:
        return ""
    offered = {part.partition(";")[0].strip().lower() for part in headers.get("Accept-Encoding", "").split(",")}
    return next((encoding for encoding in _ENCODERS if encoding in offered), "")
