"""The server process: `python -m deploy.embedded.clickhouse`, configured by environment variables."""

from __future__ import annotations

import errno
import os
import sys
import time

from aiohttp import web

from deploy.embedded.clickhouse import directory
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.embedded.clickhouse.users import users
from deploy.errors import DeployError
from deploy.logging import LogSettings, configure, report_fatal
from deploy.open_files import raise_limit
from deploy.settings import state_directory
from schemas.settings import SettingsError, load


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        configure(load(LogSettings, os.environ))
        settings = load(EmbeddedClickHouseSettings, os.environ)
        users(settings)
    except SettingsError as error:
        report_fatal(str(error))
        sys.exit(2)
    try:
        _serve(settings)
    except DeployError as error:
        report_fatal(str(error))
        sys.exit(1)
    except OSError as error:
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        report_fatal(
            f"Cannot listen on 127.0.0.1:{settings.port}: {os.strerror(error.errno)}. Stop the process that uses the "
            "port, or set SEQUENCE_LOCAL_CLICKHOUSE_PORT."
        )
        sys.exit(1)


def _serve(settings: EmbeddedClickHouseSettings) -> None:
    # The engine cannot be loaded with a TZ that is no name of a time zone, such as UTC+3. All times are UTC.
    os.environ["TZ"] = "UTC"
    time.tzset()
    # Reading some tables of `system` would write a heap profile to /tmp, which a GET or an analyst must not do.
    os.environ["JE_MALLOC_CONF"] = "prof:false"
    raise_limit()
    directory.enter(state_directory(settings.local) / "clickhouse", settings.clients.database)
    try:
        from deploy.embedded.clickhouse.server import create_app  # noqa: PLC0415  # loads the engine
    except (ImportError, RuntimeError, ValueError) as error:
        raise DeployError(
            f"The ClickHouse engine cannot be loaded: {error}. Check the limits of this user with `ulimit -a`, and "
            "that the package chdb is installed completely."
        ) from error
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
