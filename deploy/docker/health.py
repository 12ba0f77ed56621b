"""Health check of a container: exits with 0 when its process is ready, otherwise with 1 and the reason.

It requests `/health/ready`, as a load balancer does: a gateway that is draining or has lost Kafka is unhealthy, and so
is a worker that recovers or waits. Nothing restarts a container for that; a worker's watchdog exits a stuck process.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from deploy.console.settings import ConsoleSettings
from gateway.settings import GatewaySettings
from processors.settings import WorkerSettings
from schemas.addresses import bare_host
from schemas.settings import SettingsError, load

TIMEOUT_SECONDS = 3.0

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not bound


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a process answers `/health/ready`."""

    host: str
    port: int
    has_tls: bool = False


def endpoint(process: str, environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint of *process*, `gateway`, `worker` or `console`, as *environ* configures it."""
    if process == "console":
        console = load(ConsoleSettings, environ)
        return Endpoint(host_to_connect(console.host), console.port)
    if process == "worker":
        worker = load(WorkerSettings, environ)
        return Endpoint(host_to_connect(worker.metrics_host), worker.metrics_port)
    return gateway_endpoint(load(GatewaySettings, environ))


def gateway_endpoint(settings: GatewaySettings) -> Endpoint:
    """Return the endpoint of the gateway of *settings*."""
    return Endpoint(host_to_connect(settings.host), settings.port, bool(settings.tls_certificate_file))


def host_to_connect(host: str) -> str:
    """Return the address of a listener on its own machine: loopback when it listens on every address."""
    host = bare_host(host)
    return _LOOPBACK.get(host, host)


def unready_reason(at: Endpoint) -> str:
    """Return why the process is not ready, or an empty string."""
    connection = _connection(at)
    try:
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        body = response.read(1000).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return f"no answer on port {at.port}: {error}"
    finally:
        connection.close()
    return "" if response.status == 200 else f"status {response.status}: {body}"


def _connection(at: Endpoint) -> HTTPConnection:
    if not at.has_tls:
        return HTTPConnection(at.host, at.port, timeout=TIMEOUT_SECONDS)
    # The certificate names the public host, not the loopback address; the request carries no secret.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(at.host, at.port, timeout=TIMEOUT_SECONDS, context=context)


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Print the reason when the process that *arguments* name is not ready, and return the exit code."""
    if list(arguments) not in (["gateway"], ["worker"], ["console"]):
        sys.stdout.write("usage: python -m deploy.docker.health gateway|worker|console\n")
        return 2
    try:
        reason = unready_reason(endpoint(arguments[0], environ))
    except SettingsError as error:
        reason = str(error)
    if reason:
        sys.stdout.write(f"{reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
