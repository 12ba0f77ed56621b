"""Which gateway a command sends to."""

from __future__ import annotations

from collections.abc import Mapping

import click

from deploy.operate import status_local
from deploy.operate.servers import Servers
from schemas.addresses import http_url


def address(servers: Servers, given: str | None, environ: Mapping[str, str]) -> str:
    """Return *given*, the value of `--gateway`, or the first gateway of the local stack.

    Raises `UsageError` without either, and if *given* is no address.
    """
    state = status_local.directory_of(servers, environ)
    found = given or next(iter(status_local.gateways(state, environ) if state is not None else ()), None)
    if found is None:
        raise click.UsageError("Pass the address of a gateway: --gateway http://127.0.0.1:8080")
    try:
        http_url(found)
    except ValueError as error:
        raise click.BadParameter(f"{found!r} {error}", param_hint="'--gateway'") from error
    return found
