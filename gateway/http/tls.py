"""TLS of the gateway itself, where no proxy before it does that."""

from __future__ import annotations

import ssl
from ipaddress import ip_address

from aiohttp import hdrs, web

from gateway.errors import StartError
from gateway.settings import GatewaySettings, networks

_ONLY_TLS_FOR_SECONDS = 365 * 24 * 3600


def tls_context(settings: GatewaySettings) -> ssl.SSLContext | None:
    """Return what connections are encrypted by, None without a certificate; `StartError` names the file at fault."""
    if not settings.tls_certificate_file:
        if settings.tls_key_file:
            raise StartError("SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE: is needed beside SEQUENCE_GATEWAY_TLS_KEY_FILE")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file or None, password="")
    except (OSError, ValueError) as error:
        files = f"{settings.tls_certificate_file}, {settings.tls_key_file or 'which has to hold the key, too'}"
        reason = getattr(error, "strerror", None) or str(error)
        raise StartError(f"SEQUENCE_GATEWAY_TLS_CERTIFICATE_FILE ({files}): {reason}") from error
    return context


class Hsts:
    """Tells browsers that came by TLS to come by TLS alone from now on.

    Whether a request came so is known where the gateway has a certificate. Otherwise a proxy says it, and only those of
    the setting are believed: anybody can send such a header.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._own = bool(settings.tls_certificate_file)
        self._proxies = networks(settings.trusted_proxies)

    def __bool__(self) -> bool:
        return self._own or bool(self._proxies)

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the header on a reply to a request that came by TLS."""
        if self._own or (request.headers.get(hdrs.X_FORWARDED_PROTO) == "https" and self._trusts(request.remote)):
            response.headers[hdrs.STRICT_TRANSPORT_SECURITY] = f"max-age={_ONLY_TLS_FOR_SECONDS}"

    def _trusts(self, address: str | None) -> bool:
        return address is not None and any(ip_address(address) in network for network in self._proxies)
