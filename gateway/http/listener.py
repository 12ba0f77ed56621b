"""The listening socket of the gateway: one address, or every address of IPv4 and IPv6."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from aiohttp import web

from gateway.http.tls import tls_context
from gateway.settings import GatewaySettings
from schemas.addresses import bare_host

BACKLOG = 1024


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
