"""What can go wrong in the gateway; `gateway.http.responses` alone says which HTTP status each of them is.

GatewayError
├── RequestError              the caller has to change something
│   ├── UnauthorizedError     no token, an unknown one, or two different ones
│   ├── ProjectDisabledError
│   ├── OriginNotAllowedError     a browser's page that may not send
│   ├── RateLimitedError      the project's rate is used up
│   ├── LengthRequiredError
│   ├── BodyTooLargeError
│   ├── BodyTimeoutError      the body did not arrive in time
│   ├── CorruptBodyError      the body is not what its encoding says
│   ├── UnsupportedEncodingError
│   └── UnsupportedTypeError
├── UnavailableError          the same request may be sent again later
│   ├── DrainingError         the process is about to end
│   ├── OverloadedError       as many bytes are under way as are allowed
│   └── PublishError          Kafka did not acknowledge everything
│       └── PublishTimeoutError   not in time: it may still do so
├── StartError                the process cannot start
└── DirectoryError            a change of projects or tokens that is refused
    ├── InvalidProjectError   an id or a rate that is not allowed
    ├── UnknownProjectError
    ├── ProjectExistsError
    ├── InvalidTokenError
    ├── UnknownTokenError
    └── TokenExistsError
"""

from __future__ import annotations


class GatewayError(Exception):
    """The root. Messages are sentences for the person at the other end and never hold payload or tokens."""


class RequestError(GatewayError):
    """The request is refused; sent again as it is, it will be refused again."""


class UnauthorizedError(RequestError):
    """One message for every reason, so that an answer does not tell which tokens exist."""

    def __init__(self) -> None:
        super().__init__("The request needs one valid token, as `Authorization: Bearer <token>` for example.")


class ProjectDisabledError(RequestError):
    """The token is good, its project is switched off."""

    def __init__(self) -> None:
        super().__init__("The project is disabled.")


class OriginNotAllowedError(RequestError):
    """The origin is not on the allow-list."""

    def __init__(self) -> None:
        super().__init__("Pages of this origin may not send events here.")


class RateLimitedError(RequestError):
    """Nothing of the request was stored."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("The project sends more items than its rate allows; nothing of this request was stored.")
        self.retry_after_seconds = retry_after_seconds


class LengthRequiredError(RequestError):
    """A POST has neither `Content-Length` nor chunks."""

    def __init__(self) -> None:
        super().__init__("The request has no body: Content-Length is missing.")


class BodyTooLargeError(RequestError):
    """The body is longer than a limit, on the wire or decompressed."""


class BodyTimeoutError(RequestError):
    """The body did not arrive in time."""


class CorruptBodyError(RequestError):
    """The bytes are not what `Content-Encoding` says, or end too early."""


class UnsupportedEncodingError(RequestError):
    """A `Content-Encoding` that is not understood, or more than one."""


class UnsupportedTypeError(RequestError):
    """A `Content-Type` that is not JSON's."""


class UnavailableError(GatewayError):
    """The request is good, but cannot be stored now. Sending it again is safe: messageId makes it so."""


class DrainingError(UnavailableError):
    """The process is about to end."""

    def __init__(self) -> None:
        super().__init__("This gateway is shutting down. Send the request again.")


class OverloadedError(UnavailableError):
    """More bytes are under way than the process may hold."""

    def __init__(self) -> None:
        super().__init__("Too many bytes are waiting for Kafka. Send the request again later.")


class PublishError(UnavailableError):
    """Kafka did not acknowledge every record; which of them it holds is not known."""

    def __init__(self, message: str = "Kafka did not acknowledge every item. Send the request again.") -> None:
        super().__init__(message)


class PublishTimeoutError(PublishError):
    """Kafka did not acknowledge every record in time."""

    def __init__(self) -> None:
        super().__init__("Kafka did not acknowledge every item in time. Send the request again.")


class StartError(GatewayError):
    """The process cannot start; the message says what is missing."""


class DirectoryError(GatewayError):
    """A change of projects or tokens is refused; the message says why."""


class InvalidProjectError(DirectoryError):
    """A value that a project may not have."""


class UnknownProjectError(DirectoryError):
    """There is no project with this id."""


class ProjectExistsError(DirectoryError):
    """The id is taken."""


class InvalidTokenError(DirectoryError):
    """A text that may not be a token, or a time that it may not expire at."""


class UnknownTokenError(DirectoryError):
    """There is no token with this id."""


class TokenExistsError(DirectoryError):
    """The token is known already."""


def describe(error: BaseException) -> str:
    """Return a line for the log about an error of a client library, whose own text is often empty."""
    return f"{type(error).__name__}: {error}".rstrip(": ")
