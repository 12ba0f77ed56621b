"""CORS: browsers may send events from the pages of allowed origins.

A browser sends a preflight request first, unless the body is `text/plain`.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from gateway.errors import OriginNotAllowedError
from gateway.http.responses import HEADERS
from gateway.settings import origins

_ALLOWED_HEADERS = "Authorization, Authentication, Content-Type, Content-Encoding"
_PREFLIGHT_MAX_AGE_SECONDS = "7200"


class Cors:
    """The allow-list of origins. It is false if no origin is allowed."""

    def __init__(self, allowed: str) -> None:
        self._origins = origins(allowed)

    def __bool__(self) -> bool:
        return bool(self._origins)

    def allows(self, origin: str) -> bool:
        """Return whether pages of *origin* may send events."""
        return "*" in self._origins or origin in self._origins

    async def handle_preflight(self, request: web.Request) -> web.Response:
        """Answer a preflight with the allowed method and headers; reject an origin that is not allowed."""
        if not self.allows(request.headers.get(hdrs.ORIGIN, "")):
            raise OriginNotAllowedError
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "POST",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_MAX_AGE_SECONDS,
            **HEADERS,
        }
        return web.Response(status=204, headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page read *response*. Errors get the headers as well, or the page could not read their codes."""
        response.headers[hdrs.VARY] = hdrs.ORIGIN
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self.allows(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
