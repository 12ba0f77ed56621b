"""The ID of a request: under it the reply, the log and `rejected.v1` know the same request."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from itertools import count

from aiohttp import web

HEADER = "X-Request-Id"
REQUEST_ID = web.RequestKey("REQUEST_ID", str)
"""Where a request keeps its ID."""

_MAX_CHARACTERS = 128
_PREFIX = secrets.token_hex(8)
_numbers = count(1)


def new_request_id() -> str:
    """Return an ID that no other request has: what is random of it belongs to the process, the rest is counted."""
    return f"{_PREFIX}-{next(_numbers):x}"


def request_id_of(headers: Mapping[str, str]) -> str:
    """Return the ID that the sender or a proxy gave in `X-Request-Id`, or a new one.

    Theirs has 1 to 128 visible ASCII characters; anything else is replaced.
    """
    given = headers.get(HEADER)
    if given and len(given) <= _MAX_CHARACTERS and given.isascii() and given.isprintable() and " " not in given:
        return given
    return new_request_id()


def identified(response: web.Response, request_id: str) -> web.Response:
    """Return *response* with *request_id* in its header."""
    response.headers[HEADER] = request_id
    return response
