"""Errors of the console: statuses and codes of its replies. Other statuses are those of `gateway.errors`.

HttpError
└── ConsoleError
    ├── ParameterError         400 invalid_parameter
    ├── LoginError             401 unauthorized
    ├── ForbiddenError         403 write_token, other_project, operators_only, project_disabled, origin_not_allowed or
    │                              host_not_allowed
    ├── UnknownError           404 person_unknown, project_unknown, not_catalogued, view_unknown or test_service_off
    ├── TooManyItemsError      409 too_many_items
    └── BusyError              503 busy, too_many_streams, starting, clickhouse_unavailable or kafka_unavailable: the
                                   same request can be sent again later
"""

from __future__ import annotations

from types import MappingProxyType

from gateway.errors import HttpError


class ConsoleError(HttpError):
    """An error that the console answers. The message says what to do."""


class ParameterError(ConsoleError):
    """A parameter or the body of the request is invalid."""

    status = 400
    code = "invalid_parameter"


class LoginError(ConsoleError):
    """No token, or one that is not known, revoked or expired. The message is the same for each."""

    status = 401
    code = "unauthorized"
    headers = MappingProxyType({"WWW-Authenticate": 'Bearer realm="sequence"'})
    message = (
        "Missing or invalid token. Send a token as the header `Authorization: Bearer TOKEN`. `sequence token create "
        "PROJECT --scope read` makes one for a project, `sequence token create --scope operate` one for all projects."
    )


class _CodedError(ConsoleError):
    """An error whose code says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ForbiddenError(_CodedError):
    """The token is valid, but not for this."""

    status = 403


class UnknownError(_CodedError):
    """What the request asks about is not known."""

    status = 404


class TooManyItemsError(ConsoleError):
    """The test service has more items than a reply may have."""

    status = 409
    code = "too_many_items"


class BusyError(_CodedError):
    """The console cannot answer at the moment."""

    status = 503
    headers = MappingProxyType({"Retry-After": "2"})
