"""Assembles the gateway: which parts an application has, and in which order they start and close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from gateway.admission import MemoryBudget
from gateway.disk_guard import DiskGuard
from gateway.http.cors import Cors
from gateway.http.direct import DirectRequests
from gateway.http.health import Health
from gateway.http.ingest_handler import IngestHandler
from gateway.http.middleware import METRICS, answer_errors
from gateway.http.routes import routes
from gateway.http.tls import Hsts
from gateway.kafka.partitions import Partitions
from gateway.kafka.publisher import KafkaPublisher, Publisher
from gateway.metrics import GatewayMetrics
from gateway.projects.last_used import TokenLastUsed
from gateway.projects.registry import ProjectRegistry, ProjectSource
from gateway.refusals import RefusalLog
from gateway.settings import GatewaySettings
from schemas.topics import Topics

HEALTH = web.AppKey("HEALTH", Health)
DIRECT = web.AppKey("DIRECT", DirectRequests)


def create_app(settings: GatewaySettings) -> web.Application:
    """Return the gateway on the Kafka of *settings*."""
    metrics = GatewayMetrics()
    budget = MemoryBudget(settings.in_flight_limit_bytes)
    topics = Topics(settings.kafka.topic_prefix)
    projects = ProjectRegistry(settings.kafka, metrics, start_timeout_seconds=settings.start_timeout_seconds)
    written = [topics.items, topics.rejected, topics.projects]
    publisher = KafkaPublisher(settings, written, metrics, budget, Partitions(topics, projects.deployment))
    return assemble(settings, publisher, projects, metrics, budget)


def assemble(
    settings: GatewaySettings,
    publisher: Publisher,
    projects: ProjectSource,
    metrics: GatewayMetrics,
    budget: MemoryBudget,
) -> web.Application:
    """Return the gateway on the given parts; the application starts and closes them."""
    handler = IngestHandler(settings, publisher, projects, metrics, budget)
    health = Health(publisher, projects, budget, handler.space)
    metrics.watch_in_flight_bytes(lambda: handler.in_flight_bytes)
    metrics.watch_disks(handler.space)
    disk_guard = DiskGuard(publisher, handler.space)
    topics = Topics(settings.kafka.topic_prefix)
    last_used = TokenLastUsed(publisher, projects, topics.projects)
    refusals = RefusalLog(metrics, topics.rejected)
    cors = Cors(settings.cors_origins)
    app = web.Application(middlewares=[answer_errors])
    app[METRICS] = metrics
    app[HEALTH] = health
    app.add_routes(routes(handler, health, metrics, cors))
    # `DirectRequests` adds the same headers to its responses.
    if cors:
        app.on_response_prepare.append(cors.add_headers)
    hsts = Hsts(settings)
    if hsts:
        app.on_response_prepare.append(hsts.add_header)
    app[DIRECT] = DirectRequests(handler, metrics, cors=cors, hsts=hsts)

    async def start_and_close(_: web.Application) -> AsyncIterator[None]:
        try:
            await projects.start()
            await publisher.start()
            await disk_guard.start()
            last_used.start()
            refusals.start()
            yield
        finally:
            await refusals.close()
            await last_used.close()
            await disk_guard.close()
            await asyncio.gather(publisher.close(), projects.close())

    app.cleanup_ctx.append(start_and_close)
    return app
