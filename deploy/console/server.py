"""The process `sequence console`. It ends on SIGTERM or SIGINT, and loses nothing: it keeps no data."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket

import uvloop
from aiohttp import web

from deploy.console.app import Place, create_app
from deploy.console.settings import ConsoleSettings
from deploy.errors import PortInUseError
from gateway.http.protocol import GatewayRunner
from schemas.addresses import bare_host, in_url

log = logging.getLogger(__name__)

CONNECTIONS = 256
"""Connections at a time; beyond, the one that has been idle longest is closed."""
_HEAD_SECONDS = 10.0
_KEEPALIVE_SECONDS = 30.0
_DRAIN_SECONDS = 3.0


_NICENESS = 10
"""In the local stack the pipeline has precedence where cores are short."""


def run(settings: ConsoleSettings, place: Place) -> None:
    """Serve until SIGTERM or SIGINT; raises `PortInUseError` if the process cannot listen."""
    # aiokafka logs every retry; each part logs an outage once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if place.servers.is_local:
        os.nice(_NICENESS)
    uvloop.run(serve(settings, place))


async def serve(settings: ConsoleSettings, place: Place) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = make_runner(create_app(settings, place))
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, bare_host(settings.host), settings.port, backlog=128).start()
        except OSError as error:
            raise _cannot_listen(settings, error) from error
        log.info("console: http://%s:%d/", in_url(bare_host(settings.host)), runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()
    log.info("stopped")


def make_runner(app: web.Application) -> GatewayRunner:
    """Return the runner of *app*, with the limits of connections and headers that the gateway has."""
    runner = GatewayRunner(
        app,
        head_timeout_seconds=_HEAD_SECONDS,
        connection_limit=CONNECTIONS,
        access_log=None,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        handler_cancellation=True,
    )
    runner.drain_timeout_seconds = _DRAIN_SECONDS
    return runner


def _cannot_listen(settings: ConsoleSettings, error: OSError) -> PortInUseError:
    reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
    return PortInUseError(
        f"Cannot listen on {in_url(bare_host(settings.host))}:{settings.port} (SEQUENCE_CONSOLE_HOST, "
        f"SEQUENCE_CONSOLE_PORT): {reason}. Stop the process that uses the port, or set another address or port."
    )
