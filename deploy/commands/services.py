"""`sequence up`, `gateway` and `worker`: the processes that run until they are stopped."""

from __future__ import annotations

import os

import click

from deploy.error_messages import report_errors
from deploy.known_settings import warn_of_unknown_variables
from deploy.logging import LogSettings, configure
from schemas.settings import load_both

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


@click.command()
@click.option(
    "--brokers",
    type=click.Choice(["1", "3"]),
    help="Run so many Kafka brokers; with 3, each event is on all of them. By default as before, 1 at first.",
)
@click.option("--parent", type=int, metavar="PID", hidden=True, help="Stop when this process, the parent, ends.")
@report_errors
def up(brokers: str | None, parent: int | None) -> None:
    """Run the whole pipeline on this machine.

    Starts Kafka, ClickHouse, gateways and workers. Prints a token and commands to send and query events. Ctrl-C stops
    everything; the next start keeps the data. Needs the `local` extra.
    """
    from deploy.local import extra

    extra.require()
    from deploy.local import stack
    from deploy.local.services import StackSettings

    logs, _ = load_both(LogSettings, StackSettings)
    configure(logs)
    warn_of_unknown_variables()
    stack.up({**os.environ, **({"SEQUENCE_LOCAL_BROKERS": brokers} if brokers else {})}, parent)


@click.command()
@report_errors
def gateway() -> None:
    """Run a gateway, which writes events to Kafka."""
    from gateway import server
    from gateway.settings import GatewaySettings

    logs, settings = load_both(LogSettings, GatewaySettings)
    configure(logs)
    warn_of_unknown_variables()
    server.run(settings)


@click.command()
@click.argument("kind", type=click.Choice(["dedupe", "persons", "sink"]))
@report_errors
def worker(kind: str) -> None:
    """Run a worker.

    \b
    dedupe   removes duplicates from items and writes events
    persons  merges identify calls into one record per user
    sink     loads events and persons into ClickHouse
    """  # noqa: D301  # \b keeps click from wrapping the list
    from processors.settings import WorkerSettings
    from processors.workers import run

    logs, settings = load_both(LogSettings, WorkerSettings)
    configure(logs)
    warn_of_unknown_variables()
    run(kind, settings)
