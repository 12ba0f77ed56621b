"""Every error has one status and one code, and the JSON form that SDKs read."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from aiohttp import web

from gateway import errors
from gateway.errors import (
    GatewayError,
    HttpError,
    PublishError,
    PublishTimeoutError,
    RateLimitedError,
    RequestError,
    UnavailableError,
    UnexpectedError,
    describe,
)
from gateway.http.responses import as_http_error, error_response
from gateway.ingest import body, envelope, rules
from gateway.ingest.rejections import Code
from gateway.settings import GatewaySettings
from schemas.settings import declarations

WITH_A_CODE_EACH = {errors.MalformedBodyError}
"""Errors whose instances carry a `Code`."""


def subclasses(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """Yield the errors of the gateway below *kind*. The console has errors of its own."""
    for subclass in kind.__subclasses__():
        if subclass.__module__.startswith("gateway."):
            yield subclass
            yield from subclasses(subclass)


HTTP_ERRORS = [
    kind
    for kind in subclasses(HttpError)
    if issubclass(kind, HttpError) and kind not in {RequestError, *WITH_A_CODE_EACH}
]


def body_of(response: web.Response) -> dict[str, str]:
    assert isinstance(response.body, bytes)
    body: dict[str, str] = json.loads(response.body)
    return body


@pytest.mark.parametrize("kind", HTTP_ERRORS)
def test_status_tells_whether_the_client_must_change_the_request(kind: type[HttpError]) -> None:
    assert (400 <= kind.status < 500) == issubclass(kind, RequestError)
    assert (kind.status == 503) == issubclass(kind, UnavailableError)
    assert kind.code == kind.code.lower()


def test_every_code_belongs_to_one_error() -> None:
    codes = [kind.code for kind in HTTP_ERRORS]

    assert len(set(codes)) == len(codes)
    assert set(codes) & set(Code) == {Code.TOO_MANY_ITEMS}


def test_docstring_shows_the_status_and_code_of_every_error() -> None:
    shown = dict(re.findall(r"── (\w+) +(\d{3} \w+)", errors.__doc__ or ""))
    in_tree = set(re.findall(r"── (\w+)", errors.__doc__ or ""))

    assert in_tree == {kind.__name__ for kind in subclasses(GatewayError)}
    assert {kind.__name__: f"{kind.status} {kind.code}" for kind in HTTP_ERRORS}.items() <= shown.items()


@pytest.mark.parametrize("module", [errors, body, envelope, rules])
def test_messages_name_settings_that_exist(module: ModuleType) -> None:
    named = set(re.findall(r"SEQUENCE_[A-Z_]+", inspect.getsource(module)))

    assert named <= {declared.variable for declared in declarations(GatewaySettings)}


def test_error_body_has_code_message_and_request_id() -> None:
    response = error_response(PublishError(), "r-1")

    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert body_of(response) == {"code": "not_acknowledged", "message": str(PublishError()), "requestId": "r-1"}


def test_subclass_has_a_code_of_its_own() -> None:
    assert body_of(error_response(PublishTimeoutError(), "r"))["code"] == "not_acknowledged_in_time"
    assert body_of(error_response(UnavailableError("x"), "r"))["code"] == "unavailable"


@pytest.mark.parametrize("code", Code)
def test_malformed_body_has_the_code_and_its_message(code: Code) -> None:
    response = error_response(errors.MalformedBodyError(code), "r")

    assert response.status == 400
    assert body_of(response) == {"code": code.value, "message": code.message, "requestId": "r"}


def test_unauthorized_response_names_the_scheme() -> None:
    response = error_response(errors.UnauthorizedError(), "r")

    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="sequence"')


@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1.2, "2"), (30.0, "30")])
def test_retry_after_is_in_whole_seconds(seconds: float, header: str) -> None:
    assert error_response(RateLimitedError(seconds), "r").headers["Retry-After"] == header


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (web.HTTPNotFound(), 404, "not_found"),
        (web.HTTPExpectationFailed(), 417, "expectation_failed"),
        (web.HTTPLengthRequired(), 411, "length_required"),
        (web.HTTPBadRequest(), 400, "bad_request"),
        (web.HTTPGone(), 400, "bad_request"),
        (web.HTTPInternalServerError(), 503, "unexpected_error"),
    ],
)
def test_errors_of_aiohttp_have_the_status_and_code_of_the_table(
    error: web.HTTPException, status: int, code: str
) -> None:
    translated = as_http_error(error)

    assert (translated.status, translated.code) == (status, code)


def test_method_not_allowed_keeps_the_allow_header() -> None:
    response = error_response(as_http_error(web.HTTPMethodNotAllowed("GET", ["POST"])), "r")

    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert body_of(response)["code"] == "method_not_allowed"


def test_unknown_exception_is_an_unexpected_error() -> None:
    response = error_response(as_http_error(KeyError("secret")), "r")

    assert isinstance(as_http_error(KeyError("secret")), UnexpectedError)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert "secret" not in str(body_of(response))


class NamedError(Exception):
    """An error whose text starts with its name, as aiokafka's do."""

    def __str__(self) -> str:
        return f"NamedError: {self.args[0]}"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NamedError("no broker"), "NamedError: no broker"),
        (TimeoutError(), "TimeoutError"),
        (OSError("refused"), "OSError: refused"),
    ],
)
def test_description_has_the_name_of_the_error_once(error: Exception, text: str) -> None:
    assert describe(error) == text
