"""Assembles the console: which parts an application has, and in which order they start and close."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from deploy.console.access import Access
from deploy.console.api import Api, Parts
from deploy.console.asking import Asking
from deploy.console.audits import RememberedAudit
from deploy.console.errors import BusyError
from deploy.console.follow import FollowedProjects, ProjectSource
from deploy.console.live import Live
from deploy.console.live_stream import LiveSender
from deploy.console.metrics import ConsoleMetrics
from deploy.console.middleware import Guard
from deploy.console.origin import host_names
from deploy.console.rates import RateCache
from deploy.console.sampler import Sampler
from deploy.console.session import Sessions
from deploy.console.settings import ConsoleSettings
from deploy.console.static_files import StaticFiles
from deploy.console.tables import Tables
from deploy.console.tables_api import TablesApi
from deploy.console.tail import Tail
from deploy.console.test_service import TestService
from deploy.console.traces import Traces
from deploy.operate import audit_monitor
from deploy.operate.audit_metrics import AuditMetrics
from deploy.operate.audit_window import WindowAudit
from deploy.operate.servers import Servers
from gateway.http.responses import HEADERS, json_response

LIVE = web.AppKey("LIVE", Live)
_BODY_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """What a console is about: the servers, with the login that only reads, and the local stack if they are its own."""

    servers: Servers
    state: Path | None
    environ: Mapping[str, str]


def create_app(settings: ConsoleSettings, place: Place) -> web.Application:
    """Return the console on the servers of *place*."""
    metrics = ConsoleMetrics()
    return assemble(settings, place, FollowedProjects(place.servers.kafka, metrics), metrics)


def assemble(
    settings: ConsoleSettings, place: Place, projects: ProjectSource, metrics: ConsoleMetrics
) -> web.Application:
    """Return the console with the tokens of *projects*; the application starts and closes its parts."""
    servers = place.servers
    access = Access(projects, Sessions(servers.clickhouse.password))
    tables = Tables(servers.clickhouse, metrics)
    live = Live(settings.live_streams, metrics, lambda audience: Tail(servers.kafka, audience, metrics))
    sampler = Sampler(servers, metrics, place.environ, place.state)
    traces = Traces(servers, metrics)
    sender = LiveSender(live, access, metrics)
    asking = Asking(access, tables)
    audit = RememberedAudit(WindowAudit(servers), time.time()) if settings.audit else None
    api = Api(Parts(access, asking, live, sender, sampler, RateCache(tables, sampler), traces, audit))
    guard = Guard(host_names(settings.allowed_hosts), metrics)
    app = web.Application(middlewares=[guard.middleware], client_max_size=_BODY_BYTES)
    app[LIVE] = live
    app.on_response_prepare.append(guard.add_headers)
    app.add_routes([*api.routes(), *TablesApi(asking).routes()])
    app.add_routes(TestService(servers.kafka, access, is_on=settings.test_service).routes())
    app.add_routes(_health(projects, metrics))
    app.router.add_get("/{path:.*}", StaticFiles().handle)

    async def start_and_close(_: web.Application) -> AsyncIterator[None]:
        running = [asyncio.create_task(work(), name=work.__qualname__) for work in (projects.run, sampler.run)]
        if audit is not None:
            audit_metrics = AuditMetrics(time.time(), metrics.registry)
            repeating = audit_monitor.repeat(audit, audit_metrics, audit_monitor.INTERVAL_SECONDS)
            running.append(asyncio.create_task(repeating, name="audit"))
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        tables.close()
        traces.close()

    async def end_streams(_: web.Application) -> None:
        live.close_all()

    app.cleanup_ctx.append(start_and_close)
    app.on_shutdown.append(end_streams)
    return app


def _health(projects: ProjectSource, metrics: ConsoleMetrics) -> list[web.RouteDef]:
    document = files("schemas").joinpath("console.openapi.json").read_bytes()

    async def live(_: web.Request) -> web.Response:
        return json_response(b'{"status":"alive"}')

    async def ready(_: web.Request) -> web.Response:
        if projects.table is None:
            raise BusyError("starting", "The console has not read the tokens from Kafka yet.")
        projects.check()
        return json_response(b'{"status":"ready"}')

    async def show_metrics(_: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", **HEADERS}
        return web.Response(body=metrics.render(), headers=headers)

    async def openapi(_: web.Request) -> web.Response:
        return json_response(document)

    return [
        web.get("/health/live", live),
        web.get("/health/ready", ready),
        web.get("/metrics", show_metrics),
        web.get("/openapi.json", openapi),
    ]
