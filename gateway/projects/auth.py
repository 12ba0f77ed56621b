"""Finds the token of a request: in `Authorization`, in `Authentication` as the documentation once spelt it, or in the
body's `writeKey`. Where there are several they have to be the same.
"""

from __future__ import annotations

import base64
import binascii

from aiohttp import hdrs
from multidict import MultiMapping

from gateway.errors import UnauthorizedError

_AUTHENTICATION = "Authentication"


def read_token(headers: MultiMapping[str]) -> str | None:
    """Return the token of the headers, None where they have none; raise `UnauthorizedError` for two different ones."""
    token = None
    for name in (hdrs.AUTHORIZATION, _AUTHENTICATION):
        for value in headers.getall(name, ()):
            token = agree(token, _bearer_or_basic(value))
    return token


def agree(token: str | None, other: str | None) -> str | None:
    """Return the one token that both are, or the one that is there."""
    if token is None or other is None or token == other:
        return token if token is not None else other
    raise UnauthorizedError


def _bearer_or_basic(value: str | None) -> str | None:
    """Return the token of a header's *value*. A scheme that is neither holds none; what is malformed is refused."""
    if value is None:
        return None
    scheme, _, rest = value.partition(" ")
    credentials = rest.strip()
    if scheme.lower() == "bearer":
        if not credentials:
            raise UnauthorizedError
        return credentials
    if scheme.lower() == "basic":
        try:
            user = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[0]
        except (binascii.Error, ValueError):
            raise UnauthorizedError from None
        if not user:
            raise UnauthorizedError
        return user
    return None
