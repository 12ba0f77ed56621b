"""The container's health check: ends with 0 when the gateway in it is ready, otherwise with 1 and the reason.

It asks what a load balancer would ask, so a gateway that has lost Kafka or is draining counts as unhealthy. Workers
have no such check: their watchdog ends a process that is stuck, and the container's restart policy does the rest.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from gateway.settings import GatewaySettings
from schemas.settings import SettingsError, load

PATIENCE_SECONDS = 3.0

_EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what to ask, not where to listen


def host_to_ask(settings: GatewaySettings) -> str:
    """Return an address at which the gateway of *settings* is reached from its own machine."""
    return _EVERY_ADDRESS.get(settings.host, settings.host)


def fault(settings: GatewaySettings) -> str:
    """Return why the gateway of *settings* on this machine is not ready; empty when it is."""
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
        return HTTPConnection(host_to_ask(settings), settings.port, timeout=PATIENCE_SECONDS)
    # The certificate is for the name that producers know; and nothing is told here that a stranger may not hear.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host_to_ask(settings), settings.port, timeout=PATIENCE_SECONDS, context=context)


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Return the exit code, and say on standard output what is wrong."""
    try:
        found = fault(load(GatewaySettings, environ))
    except SettingsError as error:
        found = str(error)
    if found:
        sys.stdout.write(f"{found}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
