"""The table of routes: paths and their handlers."""

from __future__ import annotations

from functools import partial
from importlib.resources import files

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.http.cors import Cors
from gateway.http.health import Health
from gateway.http.ingest_handler import IngestHandler
from gateway.http.paths import INGEST_PATHS
from gateway.http.responses import HEADERS, json_response
from gateway.http.unrouted import Unrouted
from gateway.metrics import GatewayMetrics

UNROUTED = "unrouted"
"""Name of the route of every request that no other route takes."""


def routes(ingest: IngestHandler, health: Health, metrics: GatewayMetrics, cors: Cors) -> list[web.RouteDef]:
    """Return every route of the gateway; preflight routes only if an origin is allowed."""
    table = [web.post(path, partial(ingest.handle, item_type=kind)) for path, kind in INGEST_PATHS.items()]
    if cors:
        table += [web.options(path, cors.handle_preflight) for path in INGEST_PATHS]
    table += [
        web.get("/health/live", health.live),
        web.get("/health/ready", health.ready),
        web.get("/metrics", _metrics_handler(metrics)),
        web.get("/openapi.json", _openapi_handler()),
    ]
    # aiohttp looks up the whole path first, so this route costs the others nothing.
    return [*table, web.route("*", "/{path:.*}", Unrouted(table).handle, name=UNROUTED)]


def _metrics_handler(metrics: GatewayMetrics) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", **HEADERS}
        return web.Response(body=metrics.render(), headers=headers)

    return handle


def _openapi_handler() -> Handler:
    document = files("schemas").joinpath("openapi.json").read_bytes()

    async def handle(_: web.Request) -> web.Response:
        return json_response(document)

    return handle
