"""The table of routes: paths and their handlers."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.http.cors import Cors
from gateway.http.health import Health
from gateway.http.ingest_handler import IngestHandler
from gateway.http.responses import HEADERS, json_response
from gateway.metrics import GatewayMetrics


def routes(ingest: IngestHandler, health: Health, metrics: GatewayMetrics, cors: Cors) -> list[web.RouteDef]:
    """Return every route of the gateway; preflight routes only if an origin is allowed."""
    posts: dict[str, Handler] = {
        "/event/batch": ingest.handle_batch,
        "/v1/batch": ingest.handle_batch,
        "/b": ingest.handle_batch,
        "/v1/track": ingest.handle_track,
        "/v1/t": ingest.handle_track,
        "/v1/identify": ingest.handle_identify,
        "/v1/i": ingest.handle_identify,
    }
    table = [web.post(path, handler) for path, handler in posts.items()]
    if cors:
        table += [web.options(path, cors.handle_preflight) for path in posts]
    return [
        *table,
        web.get("/health/live", health.live),
        web.get("/health/ready", health.ready),
        web.get("/metrics", _metrics_handler(metrics)),
        web.get("/openapi.json", _openapi_handler()),
    ]


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
