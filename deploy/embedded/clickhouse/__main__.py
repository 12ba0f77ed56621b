"""The server process: `python -m deploy.embedded.clickhouse`, configured by environment variables."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from deploy.embedded.clickhouse.server import create_app
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.errors import DeployError
from deploy.logging import LogSettings, configure
from schemas.settings import SettingsError, load


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        configure(load(LogSettings, os.environ))
        settings = load(EmbeddedClickHouseSettings, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    try:
        _serve(settings)
    except DeployError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


def _serve(settings: EmbeddedClickHouseSettings) -> None:
    web.run_app(
        create_app(settings),
        host="127.0.0.1",
        port=settings.port,
        access_log=None,
        print=None,
        shutdown_timeout=10,
        # A client that disconnects cancels its request: an INSERT that is still queued does not run.
        handler_cancellation=True,
        auto_decompress=False,
        max_line_size=256 * 1024,
    )


if __name__ == "__main__":
    main()
