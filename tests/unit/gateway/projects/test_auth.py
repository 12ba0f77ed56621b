"""Tokens are found where they may stand, and two have to be one."""

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
def test_the_token_of_the_headers(headers: dict[str, str], token: str | None) -> None:
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
def test_headers_that_hold_no_one_token_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UnauthorizedError):
        read_token(CIMultiDict(headers))


def test_a_header_that_comes_twice_has_to_say_the_same() -> None:
    assert read_token(CIMultiDict([("Authorization", "Bearer T"), ("authorization", basic("T:"))])) == "T"
    with pytest.raises(UnauthorizedError):
        read_token(CIMultiDict([("Authorization", "Bearer T"), ("authorization", "Bearer U")]))


def test_the_token_of_the_body_agrees_with_that_of_the_headers() -> None:
    assert agree("T", None) == agree(None, "T") == agree("T", "T") == "T"
    assert agree(None, None) is None
    with pytest.raises(UnauthorizedError):
        agree("T", "U")
