"""Reads the token of a request from its headers and body.

The token is in `Authorization`, in `Authentication` or in the body's `writeKey`. If there are several, they must be
equal.
"""

from __future__ import annotations

import base64
import binascii

from aiohttp import hdrs
from multidict import MultiMapping

from gateway.errors import UnauthorizedError

_AUTHENTICATION = "Authentication"
"""Earlier documentation named this header instead of `Authorization`."""


def read_token(headers: MultiMapping[str]) -> str | None:
    """Return the token of the headers, or None; raise `UnauthorizedError` if they hold two different tokens."""
    token = None
    for name in (hdrs.AUTHORIZATION, _AUTHENTICATION):
        for value in headers.getall(name, ()):
            token = agree(token, _bearer_or_basic(value))
    return token


def agree(token: str | None, other: str | None) -> str | None:
    """Return the token that is present in either argument; raise `UnauthorizedError` if the two differ."""
    if token is None or other is None or token == other:
        return token if token is not None else other
    raise UnauthorizedError


def _bearer_or_basic(value: str | None) -> str | None:
    """Return the token of a header *value*, None for another scheme; raise `UnauthorizedError` if malformed."""
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
