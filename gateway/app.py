"""Puts the parts of the gateway together; what it is given decides whether they are real."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from gateway.admission import MemoryBudget
from gateway.http.cors import Cors
from gateway.http.health import Health
from gateway.http.ingest_handler import IngestHandler, Shared
from gateway.http.middleware import METRICS, answer_errors
from gateway.http.protocol import CONNECTIONS
from gateway.http.routes import routes
from gateway.http.tls import Hsts
from gateway.kafka.publisher import KafkaPublisher, Publisher
from gateway.metrics import GatewayMetrics
from gateway.projects.last_used import TokenLastUsed
from gateway.projects.registry import ProjectRegistry, ProjectSource
from gateway.settings import GatewaySettings
from schemas.topics import Topics

HEALTH = web.AppKey("HEALTH", Health)


def create_app(settings: GatewaySettings) -> web.Application:
    """Return the gateway on the Kafka of *settings*."""
    metrics = GatewayMetrics()
    shared = Shared(MemoryBudget(settings.in_flight_limit_bytes))
    topics = Topics(settings.kafka.topic_prefix)
    publisher = KafkaPublisher(
        settings, [topics.items, topics.rejected, topics.projects], metrics, shared.budget, shared.connections.count
    )
    projects = ProjectRegistry(settings.kafka, metrics, start_timeout_seconds=settings.start_timeout_seconds)
    return assemble(settings, publisher, projects, metrics, shared)


def assemble(
    settings: GatewaySettings,
    publisher: Publisher,
    projects: ProjectSource,
    metrics: GatewayMetrics,
    shared: Shared,
) -> web.Application:
    """Return the gateway on the given parts, which it starts and closes."""
    metrics.watch_in_flight_bytes(lambda: shared.budget.held_bytes)
    health = Health(publisher, projects)
    use = TokenLastUsed(publisher, projects, Topics(settings.kafka.topic_prefix).projects)
    cors = Cors(settings.cors_origins)
    app = web.Application(middlewares=[answer_errors])
    app[METRICS] = metrics
    app[HEALTH] = health
    app[CONNECTIONS] = shared.connections
    app.add_routes(routes(IngestHandler(settings, publisher, projects, metrics, shared), health, metrics, cors))
    if cors:
        app.on_response_prepare.append(cors.mark)
    if tls_only := Hsts(settings):
        app.on_response_prepare.append(tls_only.mark)

    async def connections(_: web.Application) -> AsyncIterator[None]:
        try:
            await projects.start()
            await publisher.start()
            use.start()
            yield
        finally:
            await use.close()
            await publisher.close()
            await projects.close()

    app.cleanup_ctx.append(connections)
    return app
