"""`sequence audit`: whether every item that was received is in one place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from deploy.durations import Duration, Since
from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from deploy.operate.audit import Audit
    from deploy.operate.audit_metrics import AuditMetrics
    from deploy.operate.refill import Refilled
    from deploy.operate.servers import Servers

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


def _cell(name: str, value: object) -> str:
    return "-" if name == "position" and value == -1 else str(value)


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    heading: lambda shown, name=name: _cell(name, shown[name])  # type: ignore[misc]  # the default binds the name
    for heading, name in (
        ("TABLE", "table"),
        ("PARTITION", "partition"),
        ("POSITION", "position"),
        ("IN LOG", "inLog"),
        ("IN TABLE", "inTable"),
        ("WAITING", "waiting"),
        ("MISSING", "missing"),
        ("REMOVED", "removed"),
        ("ERASED", "erased"),
        ("REJECTED", "rejected"),
        ("UNEXPECTED", "unexpected"),
    )
}


@click.command("audit")
@click.option("--project", "project_id", default="", metavar="ID", help="Count items of this project only.")
@click.option(
    "--since", type=Since(), metavar="TIME", help="Count items since then, for example `24h` or `2026-01-31T12:00:00Z`."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--refill", is_flag=True, help="Write the rows that are missing, and compare again.")
@click.option("--include-deleted", is_flag=True, help="Count rows as missing that were removed on purpose.")
@click.option(
    "--watch",
    "interval",
    type=Duration(),
    metavar="INTERVAL",
    help="Audit the items of the last hour at this interval until Ctrl-C, for example `30s`.",
)
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), metavar="PORT", help="With --watch, serve metrics at this port."
)
@click.option("--metrics-host", metavar="HOST", help="Address of the metrics.  [default: 127.0.0.1]")
@report_errors
def audit_command(  # noqa: PLR0913  # an argument for each option
    project_id: str,
    since: datetime | None,
    interval: int | None,
    metrics_port: int | None,
    metrics_host: str | None,
    *,
    as_json: bool,
    refill: bool,
    include_deleted: bool,
) -> None:
    """Compare the tables with the topics.

    Compares source offsets: those of `items.v1` with `events.v1`, `duplicates.v1` and `rejected.v1`, and those of the
    topics with the tables, as far back as the topics reach. Items that a stage has not processed are waiting; rows at
    or below a position of `sequence positions keep` are removed, and rows of erased users are erased. Exits with 1 if
    anything is missing or too much.

    --watch repeats the audit for the items of the last hour and logs what changes. It serves the result as metrics for
    Prometheus with --metrics-port; with 0 the system chooses a port. Writes the lag of each stage to the table `lag`.

    \b
    Fields of --json: addsUp, missing, written, faults, ledger (received, accepted,
    rejectedByGateway, unique, duplicates, rejectedByDedupe, waiting, missing,
    ofUnique, ofDuplicates, ofRejected), tables (table, partition, position, inLog,
    inTable, waiting, missing, missingRanges, removed, erased, rejected, unexpected,
    repeated).
    """  # noqa: D301  # \b keeps click from wrapping the list
    if interval is not None:
        if project_id or since or as_json or refill or include_deleted:
            raise click.UsageError("--watch takes no option but --metrics-port and --metrics-host.")
        _watch(interval, metrics_port, metrics_host or "127.0.0.1")
        return
    if metrics_port is not None or metrics_host is not None:
        raise click.UsageError("--metrics-port and --metrics-host belong to --watch.")
    _audit_once(project_id, since, as_json=as_json, refill=refill, include_deleted=include_deleted)


def _audit_once(project_id: str, since: datetime | None, *, as_json: bool, refill: bool, include_deleted: bool) -> None:
    """Audit everything that the topics have, and print it."""
    from deploy import listing
    from deploy.operate import audit, servers

    found_servers = servers.find(os.environ)
    compare = partial(audit.audit, found_servers, include_deleted=include_deleted, project_id=project_id, since=since)
    found = compare()
    refilled = _refill(found_servers, found) if refill and found.missing else None
    if refilled is not None:
        found = compare()
    if as_json:
        click.echo(json.dumps(_describe(found, 0 if refilled is None else refilled.written), indent=2))
    else:
        listing.show([each.describe() for each in found.compared], _COLUMNS, as_json=False, empty="No partitions.")
        click.echo("\n" + "\n".join([*found.ledger.lines(), *audit.lines(found)]))
        click.echo("The numbers add up." if found.adds_up else "The numbers do not add up.")
    if project_id and not (found.ledger.accepted or found.ledger.rejected_by_gateway):
        click.echo(f"The topics have no items of project {project_id}. `sequence project list` shows all.", err=True)
    if found.missing and not refill:
        click.echo("Run `sequence audit --refill` to write what is missing.", err=True)
    if not found.adds_up:
        raise click.exceptions.Exit(1)


def _watch(interval: int, port: int | None, host: str) -> None:
    """Audit every *interval* seconds until SIGINT or SIGTERM, with metrics at *host* and *port* unless it is None."""
    import asyncio
    import logging
    import time

    from deploy.logging import LogSettings, configure
    from deploy.operate import audit_monitor, lag_samples, servers
    from deploy.operate.audit_metrics import AuditMetrics
    from schemas.settings import load

    found = servers.find(os.environ)
    configure(load(LogSettings, os.environ))
    # aiokafka logs every retry; audit and samples log an outage once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    metrics = AuditMetrics(time.time())
    if port is not None:
        _serve(metrics, host, port)
    audits = audit_monitor.run(found, metrics, float(interval))
    asyncio.run(_until_stopped(audits, lag_samples.run(found.kafka, found.clickhouse)))


async def _until_stopped(*work: Coroutine[Any, Any, None]) -> None:
    """Do *work* at the same time until SIGINT or SIGTERM."""
    import asyncio
    import signal

    task = asyncio.gather(*work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def _serve(metrics: AuditMetrics, host: str, port: int) -> None:
    """Serve *metrics* in a thread, and log the address."""
    import logging

    from prometheus_client import start_http_server

    from deploy.errors import PortInUseError

    try:
        server, _ = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise PortInUseError(
            f"Cannot listen on {host}:{port} (--metrics-host, --metrics-port): {error.strerror or error}. "
            "Stop the process that uses the port, or choose another address or port."
        ) from error
    logging.getLogger(__name__).info("metrics: http://%s:%d/metrics", host, server.server_port)


def _describe(found: Audit, written: int) -> dict[str, Any]:
    return {
        "addsUp": found.adds_up,
        "missing": found.missing,
        "written": written,
        "faults": found.ledger.faults,
        "ledger": found.ledger.describe(),
        "tables": [each.describe() for each in found.compared],
    }


def _refill(found_servers: Servers, found: Audit) -> Refilled:
    """Write what is missing, and report it on standard error."""
    from deploy.operate import refill

    def report(done: Refilled) -> None:
        click.echo(f"Written: {done.written} of {found.missing} missing rows.", err=True)

    done = refill.refill(found_servers, found, report)
    for line in done.refused:
        click.echo(f"ClickHouse does not take a row: {line}", err=True)
    return done
