"""Pages of other origins may send where the setting lists them. Browsers ask first, unless the body is `text/plain`."""

from __future__ import annotations

from aiohttp import hdrs, web

from gateway.errors import OriginNotAllowedError
from gateway.http.responses import HEADERS

_ALLOWED_HEADERS = "Authorization, Authentication, Content-Type, Content-Encoding"
_PREFLIGHT_LASTS_SECONDS = "7200"


class Cors:
    """The allow-list."""

    def __init__(self, origins: str) -> None:
        self._origins = {origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()}

    def __bool__(self) -> bool:
        return bool(self._origins)

    def allows(self, origin: str) -> bool:
        """Return whether pages of *origin* may send."""
        return "*" in self._origins or origin in self._origins

    async def answer_preflight(self, request: web.Request) -> web.Response:
        """Tell a browser what its page may send."""
        if not self.allows(request.headers.get(hdrs.ORIGIN, "")):
            raise OriginNotAllowedError
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: "POST",
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: _PREFLIGHT_LASTS_SECONDS,
            **HEADERS,
        }
        return web.Response(status=204, headers=headers)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let the page read the reply; an error's too, or it could not tell one from another."""
        response.headers[hdrs.VARY] = hdrs.ORIGIN
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and self.allows(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
