"""Which proxy a request to ClickHouse passes through: that of HTTP_PROXY or HTTPS_PROXY, unless NO_PROXY excludes it.

The driver would ask a proxy for this machine's own addresses, knows no networks in NO_PROXY, and sends no login.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from schemas.addresses import in_url, is_loopback
from schemas.settings import SettingsError


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy."""

    url: str
    """Its address without a login."""
    authorization: str = field(repr=False)
    """Value of the header `Proxy-Authorization`, empty without a login."""


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> Proxy | None:
    """Return the proxy to *host*, None for a direct connection.

    *proxies* are those of `urllib.request.getproxies_environment`: an address for each scheme, and NO_PROXY as `no`.
    Raises `SettingsError` if the address is not that of an HTTP proxy.
    """
    address = proxies.get(scheme, "")
    if not address or is_loopback(host) or _is_excluded(host, port, proxies.get("no", "")):
        return None
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        found, found_port = parts.hostname, parts.port
    except ValueError:
        parts, found, found_port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not found:
        raise SettingsError(
            f"{scheme.upper()}_PROXY: must be the http:// address of a proxy. Correct it, or add {host} to NO_PROXY."
        )
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    authorization = f"Basic {base64.b64encode(login.encode()).decode()}" if parts.username else ""
    return Proxy(f"{parts.scheme}://{in_url(found)}{f':{found_port}' if found_port else ''}", authorization)


def _is_excluded(host: str, port: int, no_proxy: str) -> bool:
    """Return whether *no_proxy* has *host*: its name, a domain above it, its address, a network, or `*`."""
    entries = [entry.strip().lower() for entry in no_proxy.split(",") if entry.strip()]
    return "*" in entries or any(_matches(entry, host.lower(), port) for entry in entries)


def _matches(entry: str, host: str, port: int) -> bool:
    name = entry.removesuffix(f":{port}").removeprefix("*").removeprefix(".").strip("[]")
    if host == name or host.endswith(f".{name}"):
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False
