"""HTTP responses: JSON bodies for accepted batches and for errors.

`gateway.errors` defines the status, code and headers of every error.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from aiohttp import hdrs, web

from gateway.errors import EveryItemRejectedError, HttpError, UnexpectedError, from_status
from gateway.ingest.rejections import Code, RejectedItem
from gateway.ingest.validate import BatchResult
from schemas.items import Item

HEADERS = {"Server": "sequence", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""Headers of every response: no version, no content sniffing, no caching."""
_JSON_HEADERS = {"Content-Type": "application/json", **HEADERS}
_BY_DECISION = frozenset({Code.UNSUPPORTED_TYPE, Code.SUPPRESSED})
"""Codes of items that are as they should be, but are not stored."""
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_encode = msgspec.json.Encoder().encode


class Reply(NamedTuple):
    """A response whose body is encoded JSON."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = _NO_HEADERS
    """Beside those of every response."""


class _Warning(msgspec.Struct, frozen=True, gc=False):
    code: str
    field: str


class _Accepted(
    msgspec.Struct, frozen=True, rename="camel", tag="accepted", tag_field="status", gc=False, omit_defaults=True
):
    index: int
    message_id: str
    warnings: tuple[_Warning, ...] = ()


class _Rejected(
    msgspec.Struct, frozen=True, rename="camel", tag="rejected", tag_field="status", gc=False, omit_defaults=True
):
    index: int
    code: str
    message: str
    message_id: str | None = None
    field: str | None = None


class _Batch(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    success: bool
    accepted: int
    rejected: int
    items: list[_Accepted | _Rejected] | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = msgspec.field(default=None, name="requestId")


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str
    request_id: str = msgspec.field(name="requestId")


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> web.Response:
    """Return a response with *body*, which is encoded JSON."""
    return web.Response(body=body, status=status, headers={**_JSON_HEADERS, **headers} if headers else _JSON_HEADERS)


def encode_response(reply: Reply, headers: Mapping[str, str]) -> bytes:
    """Return *reply* as an HTTP/1.1 message with *headers*, in the form that aiohttp gives to `json_response`."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in (*reply.headers.items(), *headers.items())])
    length, date = len(reply.body), _date(int(time.time()))
    head = f"{_head(reply.status)}{lines}Content-Length: {length}\r\nDate: {date}\r\n\r\n"
    return head.encode("ascii") + reply.body


@lru_cache(maxsize=64)
def _head(status: int) -> str:
    """Return the status line, and the headers of every response."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in _JSON_HEADERS.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}"


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def batch_reply(result: BatchResult, *, verbose: bool, request_id: str) -> Reply:
    """Return 200 with the result of each item, or 400 if every item was rejected.

    A request whose items are all of types or users that are not stored is answered 200: libraries send `page` of
    themselves, and would take 400 for a fault. Without *verbose*, accepted items without warnings are counted but not
    listed.
    """
    accepted, rejected = len(result.accepted), result.rejected
    items: list[_Accepted | _Rejected] = []
    if result.has_warnings:
        items = [
            _accepted(index, item)
            for index, item in zip(result.accepted_indexes, result.accepted, strict=True)
            if verbose or item.warnings
        ]
    elif verbose:
        items = [
            _Accepted(index, item.message_id)
            for index, item in zip(result.accepted_indexes, result.accepted, strict=True)
        ]
    if rejected:
        items += map(_rejected, rejected)
        items.sort(key=attrgetter("index"))
    if accepted or all(item.code in _BY_DECISION for item in rejected):
        shown = items if verbose or items else None
        return Reply(_encode(_Batch(True, accepted, len(rejected), shown)))  # noqa: FBT003  # as by name, faster
    error = EveryItemRejectedError(rejected[0].message)
    batch = _Batch(
        success=False,
        accepted=0,
        rejected=len(rejected),
        items=items,
        code=error.code,
        message=str(error),
        request_id=request_id,
    )
    return Reply(_encode(batch), error.status)


def as_http_error(error: Exception) -> HttpError:
    """Return the error to answer with: *error* itself, that of aiohttp's status, or `UnexpectedError`."""
    if isinstance(error, HttpError):
        return error
    if not isinstance(error, web.HTTPException):
        return UnexpectedError()
    translated = from_status(error.status)
    if hdrs.ALLOW in error.headers:
        translated.headers = {hdrs.ALLOW: error.headers[hdrs.ALLOW]}
    return translated


def error_reply(error: HttpError, request_id: str) -> Reply:
    """Return the reply to a request that failed with *error*."""
    return Reply(_encode(_Error(error.code, str(error), request_id)), error.status, error.headers)


def error_response(error: HttpError, request_id: str) -> web.Response:
    """Return the response for *error*."""
    return json_response(*error_reply(error, request_id))


def _accepted(index: int, item: Item) -> _Accepted:
    return _Accepted(index, item.message_id, tuple(_Warning(warning.code, warning.field) for warning in item.warnings))


def _rejected(item: RejectedItem) -> _Rejected:
    return _Rejected(item.index, item.code, item.message, item.message_id, item.field)
