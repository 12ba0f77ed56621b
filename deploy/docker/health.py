"""Health check of the gateway's container: exits with 0 when the gateway is ready, otherwise with 1 and the reason.

It requests `/health/ready`, as a load balancer does: a gateway that is draining or has lost Kafka is unhealthy. Workers
need no health check: their watchdog exits a stuck process, and the container's restart policy starts it again.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from gateway.settings import GatewaySettings
from schemas.addresses import bare_host
from schemas.settings import SettingsError, load

TIMEOUT_SECONDS = 3.0

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not bound


def host_to_connect(settings: GatewaySettings) -> str:
    """Return the address of the gateway on its own machine: loopback when it listens on every address."""
    host = bare_host(settings.host)
    return _LOOPBACK.get(host, host)


def unready_reason(settings: GatewaySettings) -> str:
    """Return why the gateway of *settings* is not ready, or an empty string."""
    connection = _connection(settings)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        body = response.read(1000).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return f"no answer on port {settings.port}: {error}"
    finally:
        connection.close()
    return "" if response.status == 200 else f"status {response.status}: {body}"


def _connection(settings: GatewaySettings) -> HTTPConnection:
    if not settings.tls_certificate_file:
        return HTTPConnection(host_to_connect(settings), settings.port, timeout=TIMEOUT_SECONDS)
    # The certificate names the public host, not the loopback address; the request carries no secret.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host_to_connect(settings), settings.port, timeout=TIMEOUT_SECONDS, context=context)


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Print the reason when the gateway is not ready, and return the exit code."""
    try:
        reason = unready_reason(load(GatewaySettings, environ))
    except SettingsError as error:
        reason = str(error)
    if reason:
        sys.stdout.write(f"{reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
