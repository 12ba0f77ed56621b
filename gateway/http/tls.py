"""TLS of the gateway itself, for deployments without a TLS-terminating proxy, and HSTS for both."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from ipaddress import ip_address

from aiohttp import hdrs, web

from gateway.settings import GatewaySettings, networks
from schemas.settings import SettingsError
from schemas.tls import CurrentContext

HSTS_VALUE = f"max-age={365 * 24 * 3600}"


def tls_context(settings: GatewaySettings) -> ssl.SSLContext | None:
    """Return the TLS context of the certificate, None without one; `SettingsError` names the setting and the file.

    New connections use a certificate that has been renewed.
    """
    if not settings.tls_certificate_file:
        if settings.tls_key_file:
            raise SettingsError("SEQUENCE_GATEWAY_TLS_KEY_FILE requires SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE.")
        return None
    files = [file for file in (settings.tls_certificate_file, settings.tls_key_file) if file]
    return CurrentContext(ssl.PROTOCOL_TLS_SERVER, files, lambda: _context(settings))


def _context(settings: GatewaySettings) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file or None, password="")
    except (OSError, ValueError) as error:
        key = settings.tls_key_file or "the private key in it, because SEQUENCE_GATEWAY_TLS_KEY_FILE is empty"
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE: cannot load {settings.tls_certificate_file} with {key}: {reason}"
        ) from error
    return context


class Hsts:
    """HTTP Strict Transport Security (RFC 6797): browsers that used TLS once use it from then on.

    A request used TLS if the gateway has a certificate, or if a trusted proxy says so in `X-Forwarded-Proto`. Anybody
    can send that header, so it counts only from the proxies of the setting.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._serves_tls = bool(settings.tls_certificate_file)
        self._proxies = networks(settings.trusted_proxies)

    def __bool__(self) -> bool:
        return self._serves_tls or bool(self._proxies)

    async def add_header(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add `Strict-Transport-Security` to the response of a request that used TLS."""
        if self.applies(request.headers, request.remote):
            response.headers[hdrs.STRICT_TRANSPORT_SECURITY] = HSTS_VALUE

    def applies(self, headers: Mapping[str, str], remote: str | None) -> bool:
        """Return whether a request with *headers* from the address *remote* used TLS."""
        return self._serves_tls or (headers.get(hdrs.X_FORWARDED_PROTO) == "https" and self._trusts(remote))

    def _trusts(self, address: str | None) -> bool:
        if address is None:
            return False
        peer = ip_address(address)
        # A socket for both IP versions shows the IPv4 peer 10.0.0.1 as ::ffff:10.0.0.1.
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self._proxies)
