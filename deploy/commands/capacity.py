"""`sequence capacity`: cores, brokers, partitions, disk and memory for a load."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from deploy.error_messages import report_errors
from schemas.sizes import size

if TYPE_CHECKING:
    from deploy.operate.capacity_disk import Kept
    from deploy.operate.capacity_plan import Part, Plan

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415


class _Number(click.FloatRange):
    """A number in a range; `nan` is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


_RATE = _Number(min=0, min_open=True, max=1e8)
_SHARE = _Number(0, 100)
_ENVELOPE_BYTES = 100
"""Type, messageId, userId and the name of the event."""
_NAME_BYTES = 6
"""A name of one character with a value of one."""


@click.command("capacity")
@click.option("--events-per-second", type=_RATE, required=True, help="Events per second in the busiest minutes.")
@click.option(
    "--bytes", "event_bytes", type=click.IntRange(1, 10_000_000), required=True, help="Bytes of an event as JSON."
)
@click.option("--names", type=click.IntRange(0, 10_000), required=True, help="Properties, or traits, of an event.")
@click.option("--users", type=click.IntRange(0, 10**12), required=True, help="Users that are ever identified.")
@click.option("--days", type=click.IntRange(1, 36_500), required=True, help="Days that ClickHouse keeps rows.")
@click.option("--mean-per-second", type=_RATE, help="Mean of the days that disks hold.  [default: the busiest minutes]")
@click.option("--per-request", type=_Number(1, 10_000), default=100, help="Events of a request.  [default: 100]")
@click.option("--identifies", type=_SHARE, default=5, help="Identifies, percent of the events.  [default: 5]")
@click.option("--duplicates", type=_SHARE, default=1, help="Events sent again, percent.  [default: 1]")
@click.option("--replicas", type=click.IntRange(1, 7), default=3, help="Copies of a Kafka partition.  [default: 3]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@report_errors
def capacity_command(  # noqa: PLR0913, PLR0917  # an argument for each option
    events_per_second: float,
    event_bytes: int,
    names: int,
    users: int,
    days: int,
    mean_per_second: float | None,
    per_request: float,
    identifies: float,
    duplicates: float,
    replicas: int,
    *,
    as_json: bool,
) -> None:
    """Show the cores, brokers, partitions, disk and memory for a load.

    Asks no server. What Kafka and the local stores keep follows from SEQUENCE_ITEMS_RETENTION_DAYS,
    SEQUENCE_DEDUPE_WINDOW_DAYS and SEQUENCE_WORKER_STANDBYS. Rejected items are not counted.

    \b
    Fields of --json: load, kept, partitions, brokers, parts: part, processes,
    cores, coresUsed, memoryBytes, memoryUsedBytes, diskBytes, diskUsedBytes;
    topics, tables, stores, kafkaBytesPerSecond, limits, notes.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy.operate.capacity import Load
    from deploy.operate.capacity_plan import plan

    if event_bytes < _ENVELOPE_BYTES + _NAME_BYTES * names:
        raise click.UsageError(
            f"--bytes {event_bytes} is too little for --names {names}: an event has at least "
            f"{_ENVELOPE_BYTES} bytes, and {_NAME_BYTES} for each property."
        )
    if mean_per_second is not None and mean_per_second > events_per_second:
        raise click.UsageError(
            "--mean-per-second is more than --events-per-second, which is that of the busiest minutes."
        )
    load = Load(events_per_second, event_bytes, names, per_request, identifies / 100, duplicates / 100)
    found = plan(load, _kept(users, days, replicas), mean_per_second)
    if as_json:
        described = {"load": asdict(load), "kept": asdict(found.kept), **found.describe()}
        click.echo(json.dumps(described, indent=2))
    else:
        click.echo("\n".join(_lines(found)))


def _kept(users: int, days: int, replicas: int) -> Kept:
    from deploy.operate.capacity_disk import Kept
    from processors.settings import WorkerSettings
    from schemas.settings import TopicSettings, load_both

    topics, worker = load_both(TopicSettings, WorkerSettings, os.environ)
    return Kept(
        users=users,
        days=days,
        items_retention_days=topics.items_retention_days,
        dedupe_window_days=topics.dedupe.window_days,
        replicas=replicas,
        standbys=worker.standby_replicas,
    )


def _lines(found: Plan) -> list[str]:
    from deploy import listing

    headings = ("PART", "PROCESSES", "CORES USED", "CORES", "MEMORY", "DISK")
    rows = [_row(part) for part in found.parts]
    total = (
        "total",
        str(sum(part.processes for part in found.parts)),
        f"{sum(part.cores_used for part in found.parts):,.2f}",
        f"{sum(part.cores for part in found.parts):,.1f}",
        size(sum(part.memory for part in found.parts)),
        size(sum(part.disk for part in found.parts)),
    )
    kept = {**found.topics, **found.tables, **{f"store of {kind}": stored for kind, stored in found.stores.items()}}
    limits = found.limits
    return [
        listing.table(headings, [*rows, total]),
        "",
        f"Brokers              {found.topology.brokers}",
        f"Partitions           {found.topology.partitions}",
        f"Kafka                {size(found.written)}/s are written, and {found.kept.replicas} copies of them kept",
        f"One messageId        {limits.partition_items:,.0f} items/s at most, with the rest of its partition",
        f"One user             {limits.user_identifies:,.0f} identifies/s at most, with the rest of its partition",
        f"One sink             {limits.insert_rows:,.0f} rows/s at most into a table",
        "",
        listing.table(("KEPT", "DISK USED"), [(name, size(stored)) for name, stored in kept.items()]),
        *(f"\nNote: {note}" for note in found.notes),
    ]


def _row(part: Part) -> tuple[str, ...]:
    return (
        part.part,
        str(part.processes),
        f"{part.cores_used:,.2f}",
        f"{part.cores:,.1f}",
        size(part.memory),
        size(part.disk) if part.disk else "-",
    )
