"""What every request passes: checks of its origin, errors as JSON, security headers, and the counts of metrics."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from deploy.console import origin
from deploy.console.errors import ConsoleError
from deploy.console.metrics import ConsoleMetrics
from gateway.errors import HttpError, NotFoundError
from gateway.http.request_id import HEADER, REQUEST_ID, request_id_of
from gateway.http.responses import HEADERS, Reply, as_http_error, error_reply, json_response

log = logging.getLogger(__name__)

_SECURITY = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
"""Headers of every response that has none of the name itself."""
_FOR_PROGRAMS = ("/health/", "/metrics")
"""Paths for Prometheus and load balancers, which use any name of this host. They tell nothing about items."""


class UnexpectedConsoleError(ConsoleError):
    """A defect of the console."""

    status = 500
    code = "unexpected_error"
    message = "The console failed to answer. Its log has the cause, with the request ID."


class NoSuchPathError(ConsoleError):
    """The path does not exist."""

    status = NotFoundError.status
    code = NotFoundError.code
    message = "There is nothing at this path. The API begins with /api/, the page is at /."


class Guard:
    """The middleware, and the headers of every response."""

    def __init__(self, allowed_hosts: Collection[str], metrics: ConsoleMetrics) -> None:
        self._allowed_hosts = allowed_hosts
        self._metrics = metrics

    @property
    def middleware(self) -> Middleware:
        """The middleware; aiohttp marks a function, which a method does not allow."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._handle(request, handler)

        return guard

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = request_id_of(request.headers)
        try:
            self._check(request)
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  # the outermost place of a request
            response = json_response(*self._reply(error, request))
        self._metrics.requests.labels(str(response.status)).inc()
        return response

    def _check(self, request: web.Request) -> None:
        if request.path.startswith(_FOR_PROGRAMS):
            return
        origin.check_host(request.headers, self._allowed_hosts)
        origin.check_source(request.method, request.headers, is_page=not request.path.startswith(("/api/", "/test/")))

    def _reply(self, error: Exception, request: web.Request) -> Reply:
        request_id = request[REQUEST_ID]
        if isinstance(error, HttpError):
            return error_reply(error, request_id)
        if isinstance(error, web.HTTPNotFound):
            return error_reply(NoSuchPathError(), request_id)
        if isinstance(error, web.HTTPException):
            return error_reply(as_http_error(error), request_id)
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("request %s failed with an unexpected %s\n%s", request_id, type(error).__name__, frames)
        return error_reply(UnexpectedConsoleError(), request_id)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what every response has."""
        for name, value in _SECURITY.items():
            response.headers.setdefault(name, value)
        response.headers[hdrs.SERVER] = HEADERS["Server"]
        if (request_id := request.get(REQUEST_ID)) is not None:
            response.headers[HEADER] = request_id
