"""Errors of the gateway: the one table of HTTP statuses and error codes.

An `HttpError` becomes a reply with its `status`, `code` and `headers`. `Code` holds the codes of malformed bodies and
rejected items; the other codes are defined here alone.

GatewayError
├── HttpError
│   ├── RequestError                     4xx: sent again unchanged, the request fails again
│   │   ├── BadRequestError              400 bad_request
│   │   ├── MalformedBodyError           400 a `Code` of the body
│   │   ├── EveryItemRejectedError       400 every_item_rejected
│   │   ├── CorruptBodyError             400 corrupt_body
│   │   ├── UnauthorizedError            401 unauthorized
│   │   ├── ProjectDisabledError         403 project_disabled
│   │   ├── OriginNotAllowedError        403 origin_not_allowed
│   │   ├── NotFoundError                404 not_found
│   │   ├── MethodNotAllowedError        405 method_not_allowed
│   │   ├── HeadersTimeoutError          408 headers_timeout
│   │   ├── BodyTimeoutError             408 body_timeout
│   │   ├── LengthRequiredError          411 length_required
│   │   ├── BodyTooLargeError            413 body_too_large
│   │   ├── TooManyItemsError            413 too_many_items
│   │   ├── UnsupportedEncodingError     415 unsupported_encoding
│   │   ├── UnsupportedTypeError         415 unsupported_content_type
│   │   ├── ExpectationFailedError       417 expectation_failed
│   │   └── RateLimitedError             429 rate_limited
│   └── UnavailableError                 503 unavailable: the same request can be sent again later
│       ├── DrainingError                503 shutting_down
│       ├── OverloadedError              503 overloaded
│       ├── KafkaDiskLowError            503 kafka_disk_low
│       ├── UnexpectedError              503 unexpected_error
│       └── PublishError                 503 not_acknowledged
│           └── PublishTimeoutError      503 not_acknowledged_in_time
├── StartError                           the process cannot start
│   └── PartitionsError                  it would divide keys anew; a person must act (exit code 78)
└── AdminError                           a change of projects or tokens is rejected
    ├── InvalidProjectError
    ├── UnknownProjectError
    ├── ProjectExistsError
    ├── InvalidTokenError
    ├── UnknownTokenError
    └── TokenExistsError
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal

from gateway.ingest.rejections import Code
from schemas.denials import denial


class GatewayError(Exception):
    """Root of the tree. Messages are shown to users and contain neither payload nor tokens."""


class HttpError(GatewayError):
    """An error that the gateway answers with an HTTP response."""

    status: ClassVar[int]
    code: str
    """Stable name for programs. A class attribute, except where each instance has a `Code` of its own."""
    message: ClassVar[str] = ""
    """Text of the error if the instance has none."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Response headers that belong to the error."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)


class RequestError(HttpError):
    """The client must change the request before it sends it again."""


class BadRequestError(RequestError):
    """The HTTP parser rejected the request."""

    status = 400
    code = "bad_request"
    message = "Invalid HTTP request."


class MalformedBodyError(RequestError):
    """The body is not the JSON that the endpoint expects. No item of it was stored."""

    status = 400
    code: Code

    def __init__(self, code: Code, message: str = "") -> None:
        super().__init__(message or code.message)
        self.code = code


class EveryItemRejectedError(RequestError):
    """The batch has no valid item. The items are stored on `rejected.v1`."""

    status = 400
    code = "every_item_rejected"

    def __init__(self, first_reason: str) -> None:
        super().__init__(f"Every item was rejected. The first reason: {first_reason}")


class CorruptBodyError(RequestError):
    """The body does not match its `Content-Encoding`, or is truncated."""

    status = 400
    code = "corrupt_body"


class UnauthorizedError(RequestError):
    """No token, two different tokens, or one that is not valid for writing.

    The message is the same for every cause, so that a reply does not reveal which tokens exist.
    """

    status = 401
    code = "unauthorized"
    headers = MappingProxyType({"WWW-Authenticate": 'Bearer realm="sequence"'})
    message = (
        "Missing or invalid token. Send a token of the project as the header `Authorization: Bearer <token>`, or as "
        "`writeKey` beside `batch`. `sequence token create <project>` makes one; that of `sequence up` is in the file "
        "`.sequence/dev-token`."
    )


class ProjectDisabledError(RequestError):
    """The token is valid but its project is disabled."""

    status = 403
    code = "project_disabled"
    message = "The project is disabled. Enable it with `sequence project update ID --enable`."


class OriginNotAllowedError(RequestError):
    """The `Origin` of a CORS preflight is not on the allow-list."""

    status = 403
    code = "origin_not_allowed"
    message = "Pages of this origin may not send events. Add the origin to SEQUENCE_GATEWAY_CORS_ORIGINS."


class NotFoundError(RequestError):
    """No endpoint has this path; the message names the one that was probably meant."""

    status = 404
    code = "not_found"
    message = "No such path. `GET /openapi.json` lists every endpoint."


class MethodNotAllowedError(RequestError):
    """The endpoint does not support the method; `Allow` lists those it does."""

    status = 405
    code = "method_not_allowed"
    message = "Method not allowed. The `Allow` header lists the methods of this path."

    def __init__(self, message: str = "", allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        if allowed:
            self.headers = {"Allow": ", ".join(allowed)}


class HeadersTimeoutError(RequestError):
    """The request's headers did not arrive within `SEQUENCE_GATEWAY_HEAD_TIMEOUT_SECONDS`."""

    status = 408
    code = "headers_timeout"
    message = "The request headers did not arrive in time (SEQUENCE_GATEWAY_HEAD_TIMEOUT_SECONDS)."


class BodyTimeoutError(RequestError):
    """The body stalled for `SEQUENCE_GATEWAY_BODY_STALL_TIMEOUT_SECONDS`."""

    status = 408
    code = "body_timeout"

    def __init__(self, timeout_seconds: float, minimum_bytes: int) -> None:
        super().__init__(
            f"The body stalled: fewer than {minimum_bytes} bytes arrived within {timeout_seconds:g} s "
            "(SEQUENCE_GATEWAY_BODY_STALL_TIMEOUT_SECONDS). Send the request again."
        )


class LengthRequiredError(RequestError):
    """A POST has neither `Content-Length` nor `Transfer-Encoding`."""

    status = 411
    code = "length_required"
    message = (
        "The request has no body. Send JSON such as "
        '`{"batch": [{"type": "track", "userId": "ada", "event": "Signed Up"}]}`, with `Content-Length` or chunked.'
    )


class BodyTooLargeError(RequestError):
    """The body exceeds the limit for compressed or for decompressed bytes."""

    status = 413
    code = "body_too_large"

    def __init__(self, limit_bytes: int, *, token_in_headers: bool = True) -> None:
        settings = (
            "(SEQUENCE_GATEWAY_BODY_LIMIT_BYTES, or SEQUENCE_GATEWAY_COMPRESSED_LIMIT_BYTES if it is compressed). Send"
            if token_in_headers
            else "(SEQUENCE_GATEWAY_COMPRESSED_LIMIT_BYTES), the limit for a request without a token in its headers. "
            "Send the token in the `Authorization` header, or send"
        )
        super().__init__(f"The body is larger than {limit_bytes} bytes {settings} smaller batches.")


class TooManyItemsError(RequestError):
    """The batch exceeds `SEQUENCE_GATEWAY_BATCH_LIMIT_ITEMS`."""

    status = 413
    code = Code.TOO_MANY_ITEMS

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The batch has more than {limit} items (SEQUENCE_GATEWAY_BATCH_LIMIT_ITEMS). Send smaller batches."
        )


class UnsupportedEncodingError(RequestError):
    """A `Content-Encoding` that the gateway does not support, or more than one."""

    status = 415
    code = "unsupported_encoding"
    message = "Unsupported Content-Encoding. Use one of gzip, deflate, zstd, br or identity, or leave the header out."


class UnsupportedTypeError(RequestError):
    """A `Content-Type` of several parts, or a charset that is not UTF-8."""

    status = 415
    code = "unsupported_content_type"
    message = "Unsupported Content-Type. Send JSON in UTF-8, with `Content-Type: application/json`; not multipart."


class ExpectationFailedError(RequestError):
    """An `Expect` header other than `100-continue`."""

    status = 417
    code = "expectation_failed"
    message = "Unsupported Expect header. Use `100-continue`, or leave it out."


class RateLimitedError(RequestError):
    """The project exceeds its rate. No item of the request was stored."""

    status = 429
    code = "rate_limited"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("Project rate limit exceeded. No item of this request was stored. Send it again later.")
        self.retry_after_seconds = retry_after_seconds
        self.headers = {"Retry-After": str(max(1, math.ceil(retry_after_seconds)))}


class UnavailableError(HttpError):
    """The request is valid but cannot be stored now. `messageId` makes it safe to send again."""

    status = 503
    code = "unavailable"
    headers = MappingProxyType({"Retry-After": "1"})


class DrainingError(UnavailableError):
    """The process is shutting down."""

    code = "shutting_down"
    message = "The gateway is shutting down. Send the request again."


class OverloadedError(UnavailableError):
    """The request would exceed a limit for the bytes in memory."""

    code = "overloaded"

    def __init__(self, reason: Literal["memory", "project_share", "unauthenticated"] = "memory") -> None:
        self.reason = reason
        """Which limit, as a label of the metric."""
        super().__init__(_OVERLOADED[reason])


_OVERLOADED = {
    "memory": "Too many bytes are waiting for Kafka. Send the request again later.",
    "project_share": "Requests of this project hold half of the gateway's memory for requests, the most that one "
    "project may hold. Send the request again later.",
    "unauthenticated": "Too many requests without a token in their headers. Send the token in the `Authorization` "
    "header, or send the request again later.",
}


class KafkaDiskLowError(UnavailableError):
    """A broker has less free disk space than `SEQUENCE_KAFKA_MIN_FREE_BYTES`."""

    code = "kafka_disk_low"
    message = "Kafka has too little free disk space. No item of this request was stored. Send the request again later."
    headers = MappingProxyType({"Retry-After": "10"})


class UnexpectedError(UnavailableError):
    """A defect of the gateway. It is retryable: the client keeps its items until the defect is fixed."""

    code = "unexpected_error"
    message = "Unexpected gateway error. Send the request again."


class PublishError(UnavailableError):
    """Kafka did not acknowledge every record; some of them may be stored."""

    code = "not_acknowledged"
    message = "Kafka did not acknowledge every item. Send the request again."


class PublishTimeoutError(PublishError):
    """Kafka did not acknowledge every record within `SEQUENCE_GATEWAY_PUBLISH_TIMEOUT_SECONDS`."""

    code = "not_acknowledged_in_time"
    message = "Kafka did not acknowledge every item in time. Send the request again."


class StartError(GatewayError):
    """The process cannot start; the message says what is missing."""


class PartitionsError(StartError):
    """The number of partitions is not the one that the deployment was created with; a restart does not help."""


class AdminError(GatewayError):
    """A change of projects or tokens is rejected; the message says why."""


class InvalidProjectError(AdminError):
    """A project ID, rate or burst that is not allowed."""


class UnknownProjectError(AdminError):
    """No project has this ID."""


class ProjectExistsError(AdminError):
    """A project with this ID exists already."""


class InvalidTokenError(AdminError):
    """A token that has a wrong form or has expired, or an expiry in the past."""


class UnknownTokenError(AdminError):
    """No token has this ID."""


class TokenExistsError(AdminError):
    """The token exists already."""


_BY_STATUS: dict[int, type[RequestError]] = {
    error.status: error
    for error in (
        BadRequestError,
        NotFoundError,
        MethodNotAllowedError,
        HeadersTimeoutError,
        LengthRequiredError,
        ExpectationFailedError,
    )
}


def from_status(status: int) -> HttpError:
    """Return the error for a *status* that aiohttp or its HTTP parser chose."""
    kind = _BY_STATUS.get(status)
    if kind is not None:
        return kind()
    return BadRequestError() if 400 <= status < 500 else UnexpectedError()


def describe(error: BaseException, operation: str = "WRITE") -> str:
    """Return one log line about an error of a client library: its class name and its text, which may be empty.

    *operation* is the one on a topic that failed, for a user who may not do it.
    """
    name, text = type(error).__name__, str(error)
    return denial(error, operation) or (text if name in text else f"{name}: {text}".rstrip(": "))
