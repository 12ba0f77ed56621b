"""The listening socket of the gateway: one address, or every address of IPv4 and IPv6. How many connections it has."""

from __future__ import annotations

import resource
import socket
from ipaddress import ip_address

from aiohttp import web

from gateway.http.tls import tls_context
from gateway.settings import GatewaySettings
from schemas.addresses import bare_host

BACKLOG = 1024
_RESERVED_FILES = 128
"""File descriptors kept for everything but client connections: broker connections and the process's own files."""


def make_site(runner: web.AppRunner, settings: GatewaySettings) -> web.BaseSite:
    """Return the site of *runner* on the address of *settings*; raises OSError if the address is not available.

    asyncio restricts an IPv6 socket to IPv6, but a gateway on `::` has IPv4 clients as well.
    """
    host = bare_host(settings.host)
    context = tls_context(settings)
    if _is_any_ipv6(host) and socket.has_dualstack_ipv6():
        listening = socket.create_server(
            (host, settings.port),
            family=socket.AF_INET6,
            backlog=BACKLOG,
            reuse_port=settings.reuse_port,
            dualstack_ipv6=True,
        )
        return web.SockSite(runner, listening, backlog=BACKLOG, ssl_context=context)
    return web.TCPSite(
        runner, host, settings.port, backlog=BACKLOG, reuse_port=settings.reuse_port or None, ssl_context=context
    )


def _is_any_ipv6(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.version == 6 and address.is_unspecified


def allowed_connections(wanted: int) -> int:
    """Return how many of *wanted* connections the open-file limit allows, after raising it as far as possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + _RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < files:
        soft = files if hard == resource.RLIM_INFINITY else min(files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - _RESERVED_FILES))
