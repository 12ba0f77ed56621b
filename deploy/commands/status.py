"""`sequence status`: how the pipeline is, what is wrong, and what to do next."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from deploy.durations import Duration
from deploy.error_messages import report_errors
from schemas.addresses import http_url

if TYPE_CHECKING:
    from deploy.operate.status import Asked
    from deploy.operate.status_result import Process, Stage, Status

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

_WATCH_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[J"
_SHOWN_CHARACTERS = 100
WELL = "Every part runs and keeps up. `sequence doctor` checks disks, clocks, settings and rejected items."


def _check_urls(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Return *value*, the URLs of an option; a usage error for another text."""
    del context
    for url in value:
        try:
            http_url(url)
        except ValueError as error:
            raise click.BadParameter(f"{url!r} {error}.", param=parameter) from error
    return value


gateways_option = click.option(
    "--gateway",
    "gateways",
    multiple=True,
    metavar="URL",
    callback=_check_urls,
    help="Gateway to ask, repeatable.  [default: those of SEQUENCE_STATUS_GATEWAYS, or of the local stack]",
)


@click.command("status")
@click.option("--watch", is_flag=True, help="Show the status again every second until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object; with --watch one a line.")
@gateways_option
@click.option(
    "--max-lag", type=Duration(), default="60s", show_default=True, help="Lag of a stage above which it is reported."
)
@report_errors
def status_command(gateways: tuple[str, ...], max_lag: int, *, watch: bool, as_json: bool) -> None:
    """Show parts, rates, lag and what to do next.

    Asks Kafka and ClickHouse of the local stack, or of the deployment that SEQUENCE_CLICKHOUSE_URL and
    SEQUENCE_KAFKA_SERVERS name. Takes two seconds, over which rates are measured. Exits with 1 if something is wrong.

    \b
    Fields of --json: at, seconds, kafka, disks, clickhouse, missingTopics, stages,
    rates, gateways, processes, lastRejection, findings.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy.operate import servers, status_local, status_processes
    from deploy.operate.status import Asked

    found = servers.find(os.environ)
    state = status_local.directory_of(found, os.environ)
    own_workers = {} if state is None else status_processes.workers(os.environ)
    asked_gateways = status_local.gateways_to_ask(gateways, state, os.environ)
    asked = Asked(found, asked_gateways, state, float(max_lag), own_workers)
    try:
        last = asyncio.run(_watch(asked, as_json=as_json) if watch else _once(asked, as_json=as_json))
    except KeyboardInterrupt:
        if not watch:
            raise
        return
    if last.findings:
        raise click.exceptions.Exit(1)


async def _once(asked: Asked, *, as_json: bool) -> Status:
    from deploy.operate.status import RATE_SECONDS, Watch

    async with Watch(asked) as watch:
        if await watch.begin():
            await asyncio.sleep(RATE_SECONDS)
        found = await watch.status()
    click.echo(json.dumps(_described(found), indent=2, ensure_ascii=False) if as_json else "\n".join(lines(found)))
    return found


async def _watch(asked: Asked, *, as_json: bool) -> Status:
    """Show the status every second until the task is cancelled."""
    from deploy.operate.status import Watch

    is_terminal = sys.stdout.isatty() and not as_json
    async with Watch(asked) as watch:
        while True:
            found = await watch.status()
            if as_json:
                click.echo(json.dumps(_described(found), ensure_ascii=False))
            else:
                click.echo(_CLEAR if is_terminal else "", nl=False)
                click.echo("\n".join([*lines(found), ""]))
            await asyncio.sleep(_WATCH_SECONDS)


def _described(found: Status) -> object:
    import msgspec

    return msgspec.to_builtins(found)


def lines(found: Status) -> Iterator[str]:
    """Yield the status for people."""
    from deploy import listing
    from deploy.operate import finding

    yield f"{_second(found.at)}"
    yield ""
    servers = [(each.name, each.state, each) for each in (found.kafka, found.clickhouse)]
    parts = [
        [name, state, f"{each.address}, {each.about}" if each.is_up else each.address] for name, state, each in servers
    ]
    parts += [["Gateway", each.state, each.url] for each in found.gateways]
    yield listing.table(["PART", "STATE", "ADDRESS"], parts)
    if found.stages:
        yield ""
        yield listing.table(
            ["STAGE", "WORKERS", "GROUP", "LAG", "BEHIND", "RECORDS/S"], list(map(_stage, found.stages))
        )
    if found.rates is not None or found.last_rejection is not None:
        yield ""
    if found.rates is not None:
        rates = found.rates
        yield (
            f"Accepted {rates.accepted:g} items/s: {rates.unique:g} unique, {rates.duplicates:g} duplicate. "
            f"Rejected {rates.rejected:g} items/s. Measured over {found.seconds:g} s."
        )
    if found.last_rejection is not None:
        last = found.last_rejection
        yield (
            f"Last rejected {_second(last.rejected_at)} by {last.stage}, project {last.project_id}: {last.code}. "
            f"{last.message}"
        )
    if found.processes:
        yield ""
        rows = [_process(each, found.at) for each in found.processes]
        yield listing.table(["PROCESS", "PID", "STATE", "UP", "RESTARTS", "LAST WARNING"], rows)
    yield ""
    if not found.findings:
        yield WELL
    for each in found.findings:
        yield from finding.lines(each)


def _stage(each: Stage) -> list[str]:
    from deploy.operate.status_result import span

    behind = "unknown" if each.lag_seconds is None else span(each.lag_seconds)
    rate = "-" if each.processed_per_second is None else f"{each.processed_per_second:g}"
    workers = f"{each.members}, {each.suspended} suspended" if each.suspended else str(each.members)
    return [each.name, workers, each.state, f"{each.lag_records}", behind, rate]


def _process(each: Process, now: str) -> list[str]:
    from deploy.operate.status_result import span

    up = "-" if each.started_at is None else span(_seconds(now) - _seconds(each.started_at))
    warning = "" if each.last_warning is None else each.last_warning
    shown = warning if len(warning) <= _SHOWN_CHARACTERS else f"{warning[:_SHOWN_CHARACTERS]} …"
    age = f"{span(_seconds(now) - _seconds(each.last_warning_at))} ago: " if each.last_warning_at else ""
    pid = "down" if each.pid is None else str(each.pid)
    return [each.name, pid, each.state or "-", up, str(each.restarts), f"{age}{shown}"]


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _second(time: str) -> str:
    return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
