"""Tokens in headers and body: several must be equal."""

from __future__ import annotations

import base64

import pytest
from multidict import CIMultiDict

from gateway.errors import UnauthorizedError
from gateway.projects.auth import agree, read_token


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, None),
        ({"Authorization": "Bearer T"}, "T"),
        ({"Authorization": "bEARER   T  "}, "T"),
        ({"Authorization": basic("T:")}, "T"),
        ({"Authorization": basic("T")}, "T"),
        ({"Authorization": basic("T:ignored")}, "T"),
        ({"Authentication": "Bearer T"}, "T"),
        ({"Authentication": "Bearer T", "Authorization": "Bearer T"}, "T"),
        ({"Authentication": "Bearer T", "Authorization": basic("T:")}, "T"),
        ({"Authorization": "Negotiate abc"}, None),
        ({"Authorization": "Negotiate abc", "Authentication": "Bearer T"}, "T"),
    ],
)
def test_token_of_the_headers(headers: dict[str, str], token: str | None) -> None:
    assert read_token(CIMultiDict(headers)) == token


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic"},
        {"Authorization": "Basic ***"},
        {"Authorization": basic(":password")},
        {"Authorization": "Bearer T", "Authentication": "Bearer U"},
        {"Authorization": basic("T:"), "Authentication": "Bearer U"},
    ],
)
def test_malformed_or_different_tokens_are_unauthorized(headers: dict[str, str]) -> None:
    with pytest.raises(UnauthorizedError):
        read_token(CIMultiDict(headers))


def test_repeated_header_must_have_equal_tokens() -> None:
    assert read_token(CIMultiDict([("Authorization", "Bearer T"), ("authorization", basic("T:"))])) == "T"
    with pytest.raises(UnauthorizedError):
        read_token(CIMultiDict([("Authorization", "Bearer T"), ("authorization", "Bearer U")]))


def test_tokens_of_body_and_headers_must_be_equal() -> None:
    assert agree("T", None) == agree(None, "T") == agree("T", "T") == "T"
    assert agree(None, None) is None
    with pytest.raises(UnauthorizedError):
        agree("T", "U")
