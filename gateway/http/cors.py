"""CORS: browsers may send events from the pages of allowed origins.

A browser sends a preflight request first, unless the body is `text/plain`. Replies allow credentials because a beacon
always has them. Nothing here is authorised by a cookie, so they give a page no more than its token does.
"""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from gateway.errors import OriginNotAllowedError
from gateway.http.request_id import HEADER as REQUEST_ID_HEADER
from gateway.http.responses import HEADERS
from gateway.origins import matcher

_PREFLIGHT_MAX_AGE_SECONDS = "7200"
_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
"""Names of headers, comma-separated (RFC 9110)."""
_LONGEST_NAMES = 2048
_PRIVATE_NETWORK = "Access-Control-Request-Private-Network"
_EXPOSED = f"{hdrs.RETRY_AFTER}, {REQUEST_ID_HEADER}"
_ASKED = f"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, {_PRIVATE_NETWORK}"


class Cors:
    """The allow-list of origins. It is false if no origin is allowed."""

    def __init__(self, allowed: str) -> None:
        self._matches = matcher(allowed)

    def __bool__(self) -> bool:
        return self._matches is not None

    def allows(self, origin: str) -> bool:
        """Return whether pages of *origin* may send events."""
        return self._matches is not None and self._matches(origin)

    async def handle_preflight(self, request: web.Request) -> web.Response:
        """Allow the headers that the preflight asks for; reject an origin that is not allowed."""
        if not self.allows(request.headers.get(hdrs.ORIGIN, "")):
            raise OriginNotAllowedError
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: hdrs.METH_POST,
            hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_MAX_AGE_SECONDS,
            hdrs.VARY: _ASKED,
            **HEADERS,
        }
        names = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "").strip()
        if len(names) <= _LONGEST_NAMES and _NAMES.fullmatch(names):
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = names
        if request.headers.get(_PRIVATE_NETWORK) == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"
        return web.Response(status=204, headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page read *response*. Errors get the headers as well, or the page could not read their codes."""
        response.headers.setdefault(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self.allows(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED
