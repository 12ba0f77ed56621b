"""The process `sequence gateway`. On SIGTERM it shuts down as `gateway.shutdown` describes."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from typing import Any

import uvloop
from aiohttp import web

from gateway.app import DIRECT, HEALTH, create_app
from gateway.errors import StartError
from gateway.http.listener import make_site
from gateway.http.protocol import GatewayRunner
from gateway.http.tls import tls_context
from gateway.settings import GatewaySettings
from gateway.shutdown import LIMIT_SECONDS, Shutdown, exit_after
from schemas.addresses import bare_host, in_url

log = logging.getLogger(__name__)

_GC_THRESHOLDS = (10_000, 5, 5)
"""Thresholds of the garbage collector's three generations.

Items contain no reference cycles, so Python's default of 700 costs more than it frees. Exceptions of rejected requests
do contain some, so the collector stays on.
"""


def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT; raise `SettingsError` or `StartError` if the process cannot start."""
    tls_context(settings)  # An unusable file is an error before Kafka is awaited.
    # aiokafka logs every retry; the publisher and its producer log each change of Kafka's state once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    uvloop.run(serve(settings))


async def serve(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then shut down."""
    shutdown = Shutdown()

    def stop() -> None:
        if not shutdown.requested.is_set():
            exit_after(LIMIT_SECONDS)
        shutdown.request()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    app = create_app(settings)
    runner = make_runner(app, settings)
    starting = asyncio.ensure_future(_start(runner, settings))
    try:
        await _wait_for_either(starting, shutdown.requested)
        if starting.done():
            starting.result()
            host = in_url(bare_host(settings.host))
            log.info("listening on %s://%s:%d", settings.scheme, host, _port(runner, settings))
            await shutdown.requested.wait()
            await _drain(app, runner, shutdown, settings.shutdown_delay_seconds)
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        runner.drain_timeout_seconds = shutdown.seconds_to_drain()
        await runner.cleanup()
    log.info("stopped")


def make_runner(app: web.Application, settings: GatewaySettings) -> GatewayRunner:
    """Return the runner of *app*: no automatic decompression, no access log."""
    return GatewayRunner(
        app,
        direct=app[DIRECT],
        access_log=None,
        auto_decompress=False,
        head_timeout_seconds=settings.head_timeout_seconds,
        connection_limit=settings.connection_limit,
        keepalive_timeout=settings.keepalive_timeout_seconds,
    )


async def _drain(app: web.Application, runner: GatewayRunner, shutdown: Shutdown, delay_seconds: float) -> None:
    """Fail readiness and accept requests for the delay, in which load balancers notice it."""
    app[HEALTH].drain()
    runner.close_connections_after_response()
    log.info("draining: not ready, accepting requests for %g s more; a second signal ends this", delay_seconds)
    await shutdown.wait_for_delay(delay_seconds)
    log.info("closing the listener: requests in flight will finish")


async def _start(runner: GatewayRunner, settings: GatewaySettings) -> None:
    await runner.setup()
    try:
        await make_site(runner, settings).start()
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartError(
            f"Cannot listen on {in_url(bare_host(settings.host))}:{settings.port} "
            f"(SEQUENCE_GATEWAY_HOST, SEQUENCE_GATEWAY_PORT): {reason}. "
            "Stop the process that uses the port, or set another address or port."
        ) from error


def _port(runner: GatewayRunner, settings: GatewaySettings) -> int:
    """Return the listening port; the system chooses one if the setting is 0."""
    return int(runner.addresses[0][1]) if runner.addresses else settings.port


async def _wait_for_either(starting: asyncio.Future[None], stop: asyncio.Event) -> None:
    """Return when the start has finished or *stop* is set."""
    stopping = asyncio.ensure_future(stop.wait())
    awaited: list[asyncio.Future[Any]] = [starting, stopping]
    try:
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
