"""`sequence console`: the page about events and the pipeline, and its JSON API."""

from __future__ import annotations

import os

import click

from deploy.error_messages import report_errors
from deploy.known_settings import warn_of_unknown_variables
from deploy.logging import LogSettings, configure
from schemas.settings import load_both

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.command("console")
@report_errors
def console() -> None:
    """Run the console: a page that shows events and the pipeline.

    Shows the local stack, or the deployment that SEQUENCE_CLICKHOUSE_URL and SEQUENCE_KAFKA_SERVERS name. Reads only,
    as the user `analyst`. `sequence up` runs it as well. Open the page with a token: `sequence token create PROJECT
    --scope read` makes one for a project, `sequence token create --scope operate` one for all projects.
    """
    from deploy.console import server
    from deploy.console.app import Place
    from deploy.console.settings import ConsoleSettings
    from deploy.operate import servers, status_local, status_settings

    logs, settings = load_both(LogSettings, ConsoleSettings)
    configure(logs)
    warn_of_unknown_variables()
    status_settings.configured(os.environ)
    found = servers.find_reading(os.environ)
    state = status_local.directory_of(found, os.environ)
    server.run(settings, Place(found, state, os.environ))
