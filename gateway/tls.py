"""TLS of the gateway itself, where no proxy before it does that."""

from __future__ import annotations

import ssl

from aiohttp import hdrs, web

from gateway.errors import StartError
from gateway.settings import GatewaySettings

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


async def ask_for_tls(_: web.Request, response: web.StreamResponse) -> None:
    """Tell browsers to come by TLS alone from now on."""
    response.headers[hdrs.STRICT_TRANSPORT_SECURITY] = f"max-age={_ONLY_TLS_FOR_SECONDS}"
