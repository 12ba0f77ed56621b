"""Every error has its status, its code and the form that SDKs read."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from gateway import errors
from gateway.errors import (
    DirectoryError,
    GatewayError,
    PublishError,
    PublishTimeoutError,
    RateLimitedError,
    RequestError,
    StartError,
    UnavailableError,
)
from gateway.http import responses

NEVER_IN_A_REQUEST = (DirectoryError, StartError)


def leaves(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    subclasses = kind.__subclasses__()
    if not subclasses:
        yield kind
    for subclass in subclasses:
        yield from leaves(subclass)


def test_every_error_of_a_request_has_a_status_of_its_own() -> None:
    told = {kind for kind in leaves(GatewayError) if not issubclass(kind, NEVER_IN_A_REQUEST)}

    assert told <= set(responses._STATUSES)


@pytest.mark.parametrize("kind", sorted(responses._STATUSES, key=str))
def test_a_status_tells_who_has_to_change_something(kind: type[Exception]) -> None:
    status, code = responses._STATUSES[kind]

    assert (400 <= status < 500) == issubclass(kind, RequestError)
    assert (status == 503) == issubclass(kind, UnavailableError)
    assert code == code.lower()


def test_an_error_is_a_code_a_message_and_the_requests_name() -> None:
    reply = responses.error_response(PublishError(), "r-1")

    assert reply is not None
    assert reply.status == 503
    assert reply.headers["Retry-After"] == "1"
    assert isinstance(reply.body, bytes)
    assert json.loads(reply.body) == {"code": "not_acknowledged", "message": str(PublishError()), "requestId": "r-1"}


def test_a_kind_of_a_kind_has_the_code_of_the_nearest() -> None:
    late = responses.error_response(PublishTimeoutError(), "r")
    other = responses.error_response(errors.UnavailableError("x"), "r")

    assert late is not None
    assert other is not None
    assert isinstance(late.body, bytes)
    assert isinstance(other.body, bytes)
    assert json.loads(late.body)["code"] == "not_acknowledged_in_time"
    assert json.loads(other.body)["code"] == "unavailable"


@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1.2, "2"), (30.0, "30")])
def test_a_rate_says_in_whole_seconds_when_to_come_back(seconds: float, header: str) -> None:
    reply = responses.error_response(RateLimitedError(seconds), "r")

    assert reply is not None
    assert reply.headers["Retry-After"] == header


def test_an_error_that_nobody_foresaw_has_no_reply() -> None:
    assert responses.error_response(KeyError("x"), "r") is None
