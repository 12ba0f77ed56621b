"""The process `sequence gateway`: listens, and on SIGTERM finishes what is under way and leaves within 20 s."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from typing import Any

import uvloop
from aiohttp import web

from gateway.app import HEALTH, create_app
from gateway.errors import StartError
from gateway.http.protocol import GatewayRunner
from gateway.http.tls import tls_context
from gateway.settings import GatewaySettings

log = logging.getLogger(__name__)

_BACKLOG = 1024
_COLLECT_AFTER = (10_000, 5, 5)
"""New objects before the garbage collector looks for cycles, and how often until it looks among the older ones, too.

Items have none, so Python's own 700 cost more than they find; but refusals leave some, which may not pile up.
"""


def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT; raise `StartError` where the process cannot start."""
    # It has a line for each retry; what has become of Kafka is said once, by the publisher and its producer.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    uvloop.run(serve(settings))


async def serve(settings: GatewaySettings) -> None:
    """Serve until the process is told to end."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    app = create_app(settings)
    runner = make_runner(app, settings)
    starting = asyncio.ensure_future(_start(runner, settings))
    try:
        await _first(starting, ending)
        if starting.done():
            starting.result()
            log.info("listening on %s://%s:%d", settings.scheme, settings.host, _port(runner, settings))
            await ending.wait()
            log.info("draining: no new connections, requests under way are finished")
            app[HEALTH].drain()
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await runner.cleanup()
    log.info("stopped")


def make_runner(app: web.Application, settings: GatewaySettings) -> GatewayRunner:
    """Return what serves *app*: bodies as they come, no access log, and a bounded time for requests to end."""
    return GatewayRunner(
        app,
        access_log=None,
        auto_decompress=False,
        head_timeout_seconds=settings.head_timeout_seconds,
        most_connections=settings.connection_limit,
        keepalive_timeout=settings.keepalive_timeout_seconds,
        shutdown_timeout=settings.drain_timeout_seconds,
    )


async def _start(runner: GatewayRunner, settings: GatewaySettings) -> None:
    await runner.setup()
    site = web.TCPSite(
        runner,
        settings.host,
        settings.port,
        backlog=_BACKLOG,
        reuse_port=settings.reuse_port or None,
        ssl_context=tls_context(settings),
    )
    try:
        await site.start()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartError(f"{settings.host}:{settings.port} (SEQUENCE_GATEWAY_PORT): {reason}") from error


def _port(runner: GatewayRunner, settings: GatewaySettings) -> int:
    """Return the port, which the system chose where the setting is 0."""
    return int(runner.addresses[0][1]) if runner.addresses else settings.port


async def _first(starting: asyncio.Future[None], ending: asyncio.Event) -> None:
    """Return when the start is over or the process is told to end."""
    told = asyncio.ensure_future(ending.wait())
    awaited: list[asyncio.Future[Any]] = [starting, told]
    try:
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
