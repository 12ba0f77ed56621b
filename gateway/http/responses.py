"""What the gateway answers: always JSON, and for every error the one status and code that belong to it."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from operator import attrgetter

import msgspec
from aiohttp import web

from gateway import errors
from gateway.ingest.rejections import MalformedBodyError, RejectedItem, TooManyItemsError
from gateway.ingest.validate import BatchResult

HEADERS = {"Server": "sequence", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""On every reply: the product without the versions that it is built on; nobody may guess its type or keep it."""
_JSON_HEADERS = {"Content-Type": "application/json", **HEADERS}
_RETRY_AFTER_SECONDS = "1"
_STATUSES: dict[type[Exception], tuple[int, str]] = {
    errors.UnauthorizedError: (401, "unauthorized"),
    errors.ProjectDisabledError: (403, "project_disabled"),
    errors.OriginNotAllowedError: (403, "origin_not_allowed"),
    errors.BodyTimeoutError: (408, "body_timeout"),
    errors.LengthRequiredError: (411, "length_required"),
    errors.BodyTooLargeError: (413, "body_too_large"),
    errors.UnsupportedEncodingError: (415, "unsupported_encoding"),
    errors.UnsupportedTypeError: (415, "unsupported_content_type"),
    errors.RateLimitedError: (429, "rate_limited"),
    errors.CorruptBodyError: (400, "corrupt_body"),
    errors.DrainingError: (503, "shutting_down"),
    errors.OverloadedError: (503, "overloaded"),
    errors.PublishTimeoutError: (503, "not_acknowledged_in_time"),
    errors.PublishError: (503, "not_acknowledged"),
    errors.UnavailableError: (503, "unavailable"),
}
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 417: "expectation_failed"}
_encode = msgspec.json.Encoder().encode


class _Accepted(msgspec.Struct, frozen=True, rename="camel", tag="accepted", tag_field="status", gc=False):
    index: int
    message_id: str


class _Rejected(
    msgspec.Struct, frozen=True, rename="camel", tag="rejected", tag_field="status", gc=False, omit_defaults=True
):
    index: int
    code: str
    message: str
    message_id: str | None = None
    field: str | None = None


class _Reply(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    success: bool
    accepted: int
    rejected: int
    items: list[_Accepted | _Rejected] | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = msgspec.field(default=None, name="requestId")


class _Failure(msgspec.Struct, frozen=True):
    code: str
    message: str
    request_id: str = msgspec.field(name="requestId")


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a reply with *body*, which is JSON."""
    return web.Response(body=body, status=status, headers={**_JSON_HEADERS, **headers} if headers else _JSON_HEADERS)


def batch_response(verdicts: BatchResult, *, verbose: bool) -> web.Response:
    """Return 200 with the verdict on each item, or only on the refused ones; 400 where every item is refused."""
    accepted, refused = len(verdicts.items), verdicts.refused
    items: list[_Accepted | _Rejected] = []
    if verbose:
        items = [_Accepted(index, item.message_id) for index, item in verdicts.accepted]
    if refused:
        items += map(_rejected, refused)
        items.sort(key=attrgetter("index"))
    if accepted:
        shown = items if verbose or refused else None
        return json_response(_encode(_Reply(True, accepted, len(refused), shown)))  # noqa: FBT003
    first = refused[0]
    message = f"Every item was refused, the first because of: {first.message}"
    reply = _Reply(False, 0, len(refused), items, "every_item_refused", message, new_request_id())  # noqa: FBT003
    return json_response(_encode(reply), 400)


def error_response(error: Exception, request_id: str) -> web.Response | None:
    """Return the reply that belongs to *error*, None where none does."""
    if isinstance(error, web.HTTPException):
        code = _HTTP_CODES.get(error.status, "http_error")
        kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return failure(error.status, code, f"{error.reason}.", request_id, kept)
    if isinstance(error, MalformedBodyError):
        return failure(400, error.code, error.message, request_id)
    if isinstance(error, TooManyItemsError):
        return failure(413, error.code, error.message, request_id)
    for kind in type(error).__mro__:
        if kind in _STATUSES:
            status, code = _STATUSES[kind]
            return failure(status, code, str(error), request_id, _headers(error, status))
    return None


def failure(
    status: int, code: str, message: str, request_id: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an error in the one form that all errors have."""
    return json_response(_encode(_Failure(code, message, request_id)), status, headers)


def new_request_id() -> str:
    """Return a name for a request, to find it by in the log."""
    return secrets.token_hex(8)


def _headers(error: Exception, status: int) -> dict[str, str]:
    if isinstance(error, errors.RateLimitedError):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds)))}
    if status == 503:
        return {"Retry-After": _RETRY_AFTER_SECONDS}
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="sequence"'}
    return {}


def _rejected(refusal: RejectedItem) -> _Rejected:
    return _Rejected(refusal.index, refusal.code, refusal.message, refusal.message_id, refusal.field)
