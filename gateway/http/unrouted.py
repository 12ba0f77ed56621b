"""Requests that no route takes: extra slashes are ignored, and the error of any other says what to send instead."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from gateway.errors import MethodNotAllowedError, NotFoundError
from gateway.http.paths import BATCH_PATH, INGEST_PATHS, how_to_send, meant_path, without_extra_slashes


class Unrouted:
    """Handles what the *routes* do not."""

    def __init__(self, routes: Iterable[web.RouteDef]) -> None:
        self._handlers: dict[str, dict[str, Handler]] = {}
        for route in routes:
            self._handlers.setdefault(route.path, {})[route.method] = route.handler

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Return the response of the handler that the path without extra slashes has.

        Raises `NotFoundError` or `MethodNotAllowedError` if there is none.
        """
        path = without_extra_slashes(request.path)
        handlers = self._handlers.get(path)
        if handlers is None:
            raise self._not_found(path)
        if request.method not in handlers:
            raise self._method_not_allowed(path, request.method)
        return await handlers[request.method](request)

    def _not_found(self, path: str) -> NotFoundError:
        meant = meant_path(path, self._handlers)
        question = f": did you mean `{meant}`?" if meant else "."
        return NotFoundError(f"No such path{question} {self._advice(meant or BATCH_PATH)}")

    def _method_not_allowed(self, path: str, method: str) -> MethodNotAllowedError:
        advice = self._advice(path)
        if path in INGEST_PATHS and method == hdrs.METH_OPTIONS:
            advice = "To let the pages of an origin send, list it in SEQUENCE_GATEWAY_CORS_ORIGINS."
        return MethodNotAllowedError(f"Method not allowed. {advice}", sorted(self._handlers[path]))

    def _advice(self, path: str) -> str:
        return how_to_send(path) if path in INGEST_PATHS else f"Send `GET {path}`."
