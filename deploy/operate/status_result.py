"""What `sequence status` answers, and what is wrong with it. Pure. `Status` is the JSON of `sequence status --json`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from deploy.operate.broker_disks import BrokerDisk
from deploy.operate.finding import Finding
from schemas.times import format_time, parse_time

SLOW_SECONDS = 2.0
"""Time above which the answer of ClickHouse to a trivial query is reported."""
SUSPENDED = "suspended"
"""State of a process that has got SIGSTOP, and of the server, gateway or worker that it is."""
NO_ANSWER = "it does not answer"
"""What the text about a gateway begins with that cannot be asked."""
CATCHING_UP = 1.05
"""A stage that processes this many times what arrives catches up."""


class Server(msgspec.Struct, kw_only=True, rename="camel"):
    """Kafka or ClickHouse."""

    name: str
    address: str
    is_up: bool
    about: str = ""
    """Version and size, or why it does not answer."""
    seconds: float | None = None
    """Time that its answer took, if that is measured."""
    state: str = ""
    """`up`, `down` or `suspended`."""


class TopicLag(msgspec.Struct, kw_only=True, rename="camel"):
    """What a stage has not processed of a topic."""

    topic: str
    lag_records: int
    lag_seconds: float | None
    """Age of the oldest of them by the broker's time; None if it could not be read."""


class PartitionLag(msgspec.Struct, kw_only=True, rename="camel"):
    """What a stage has not processed of a partition."""

    topic: str
    partition: int
    lag_records: int
    lag_seconds: float | None


class Stage(msgspec.Struct, kw_only=True, rename="camel"):
    """The workers of a kind."""

    name: str
    group: str
    state: str
    """Of the consumer group: `Stable`, `PreparingRebalance`, `CompletingRebalance`, `Empty` or `Dead`."""
    members: int
    hosts: list[str]
    topics: list[TopicLag]
    lag_records: int
    lag_seconds: float | None
    processed_per_second: float | None
    """Records of all its topics."""
    partitions: int = 0
    """Number of partitions of its topics."""
    behind: list[PartitionLag] = []
    """Those with records that are not processed."""
    suspended: int = 0
    """Of its processes in the local stack: those that are suspended. They are members until their session ends."""


class Rates(msgspec.Struct, kw_only=True, rename="camel"):
    """Records that arrive on topics, a second."""

    accepted: float
    """On `items.v1`."""
    unique: float
    """On `events.v1`."""
    duplicates: float
    rejected: float


class Gateway(msgspec.Struct, kw_only=True, rename="camel"):
    """A gateway that was asked. *about* tells why it is not ready."""

    url: str
    is_ready: bool
    about: str = ""
    clock_seconds: float | None = None
    """By how much its clock is ahead of this machine's, to a second; None if it does not tell."""
    state: str = ""
    """`ready`, `not ready` or `suspended`."""


class Process(msgspec.Struct, kw_only=True, rename="camel"):
    """A process of the local stack. *restarts* counts since the stack was started."""

    name: str
    pid: int | None
    """None if it does not run."""
    started_at: str | None
    restarts: int = 0
    restarted_at: str | None = None
    restarted_because: str | None = None
    """How the process before ended."""
    recent_restarts: int = 0
    """Those in the ten minutes before the last one, with it; the first was at `first_of_recent`."""
    first_of_recent: str | None = None
    last_warning: str | None = None
    """Its last log line at WARNING or above."""
    last_warning_at: str | None = None
    log: str = ""
    """The log file."""
    state: str | None = None
    """`ready`, `suspended`, `no answer`, or a status of a worker's `/health/ready`; None if it was not asked."""
    about: str = ""
    """Why it is not ready."""


class LastRejection(msgspec.Struct, kw_only=True, rename="camel"):
    """The newest record of `rejected.v1`."""

    rejected_at: str
    project_id: str
    stage: str
    code: str
    message: str


class Status(msgspec.Struct, kw_only=True, rename="camel"):
    """The answer."""

    at: str
    seconds: float | None = None
    """Time over which rates were measured."""
    kafka: Server
    disks: list[BrokerDisk] = []
    clickhouse: Server
    missing_topics: list[str] = []
    stages: list[Stage]
    rates: Rates | None
    gateways: list[Gateway]
    processes: list[Process]
    """Of the local stack."""
    last_rejection: LastRejection | None
    findings: list[Finding]


def judge(status: Status, *, max_lag_seconds: float, is_local: bool) -> Iterator[Finding]:
    """Yield what is wrong with *status*."""
    yield from (*_servers(status, is_local=is_local), *_topics(status), *_gateways(status))
    for stage in status.stages:
        yield from _stage(stage, status, max_lag_seconds, is_local=is_local)


def _servers(status: Status, *, is_local: bool) -> Iterator[Finding]:
    means = {
        "Kafka": "Gateways answer 503, and nothing is processed. No acknowledged item is lost.",
        "ClickHouse": "Rows are not written and cannot be queried. Events wait in Kafka until its retention ends.",
    }
    variables = {"Kafka": "SEQUENCE_KAFKA_SERVERS", "ClickHouse": "SEQUENCE_CLICKHOUSE_URL"}
    for server in (status.kafka, status.clickhouse):
        if not server.is_up:
            yield Finding(
                level="error",
                check=server.name,
                what=server.about,
                why=means[server.name],
                remedy=_log_of(status, server.name.lower())
                if is_local
                else f"Start {server.name}, or correct its address: {variables[server.name]}.",
            )
    seconds = status.clickhouse.seconds
    if status.clickhouse.is_up and seconds is not None and seconds > SLOW_SECONDS:
        yield Finding(
            level="warning",
            check="ClickHouse",
            what=f"ClickHouse at {status.clickhouse.address} took {seconds:.1f} s for a query that reads nothing.",
            why="It is overloaded, or lacks CPU, memory or disk. INSERTs and queries wait as long.",
            remedy="Look at its running queries, merges and materialized views, and at the load of its machine.",
        )


def _topics(status: Status) -> Iterator[Finding]:
    if status.missing_topics:
        yield Finding(
            level="error",
            check="topics",
            what=f"Topics missing: {', '.join(status.missing_topics)}.",
            why="Gateways and workers do not start without them.",
            remedy="Run `sequence topics apply`. Check SEQUENCE_TOPIC_PREFIX.",
        )


def _gateways(status: Status) -> Iterator[Finding]:
    for gateway in status.gateways:
        if not gateway.is_ready:
            yield Finding(
                level="error",
                check="gateway",
                what=f"{gateway.url} is not ready: {gateway.about}",
                why="It does not accept items. Producers get no answer or 503.",
                remedy="Start it, or correct its address. Read its log if it runs."
                if gateway.about.startswith(NO_ANSWER)
                else "Check Kafka first, then the gateway's log.",
            )


def _stage(stage: Stage, status: Status, max_lag_seconds: float, *, is_local: bool) -> Iterator[Finding]:
    start = _log_of(status, f"{stage.name}-1") if is_local else f"Start `sequence worker {stage.name}`."
    if stage.members == 0:
        yield Finding(
            level="error",
            check=stage.name,
            what=f"No worker {stage.name} is in the consumer group {stage.group}; {stage.lag_records} records wait.",
            why="What it reads waits in Kafka until its retention ends.",
            remedy=start,
            since=_oldest(stage, status),
        )
    elif stage.state != "Stable":
        yield Finding(
            level="warning",
            check=stage.name,
            what=f"The consumer group {stage.group} is in the state {stage.state}.",
            why="Its workers process nothing while partitions are assigned.",
            remedy="Run the command again in 30 s. If the state lasts, read the logs of the workers.",
        )
    if stage.members and stage.lag_seconds is not None and stage.lag_seconds > max_lag_seconds:
        yield Finding(
            level="warning",
            check=stage.name,
            what=f"{stage.name} is {span(stage.lag_seconds)} behind{_where(stage, max_lag_seconds)}.",
            why="Events become visible that much later.",
            remedy=_catch_up(stage, status, is_local=is_local),
            since=_oldest(stage, status),
        )


def _oldest(stage: Stage, status: Status) -> str | None:
    """Return when the oldest record that waits has arrived, None if nothing waits or that is not known."""
    if not stage.lag_seconds:
        return None
    return format_time(parse_time(status.at) - round(1e6 * stage.lag_seconds))


def _where(stage: Stage, max_lag_seconds: float) -> str:
    """Return which partitions of *stage* are behind if they are not most of them, and the records."""
    late = [each for each in stage.behind if each.lag_seconds is None or each.lag_seconds > max_lag_seconds]
    if not 0 < len(late) <= stage.partitions // 2:
        return f": {stage.lag_records} records"
    names = ", ".join(f"{each.topic}[{each.partition}]" for each in late)
    records = sum(each.lag_records for each in late)
    return f" in {names}: {records} records. The other {stage.partitions - len(late)} partitions are not"


def _catch_up(stage: Stage, status: Status, *, is_local: bool) -> str:
    rate = stage.processed_per_second
    if stage.name == "sink" and not status.clickhouse.is_up:
        return "Start ClickHouse. The sink continues by itself."
    if not rate:
        where = _log_of(status, f"{stage.name}-1") if is_local else f"Read the log of `sequence worker {stage.name}`."
        return f"It processed nothing in this time. {where}"
    arriving = _arriving(stage, status.rates)
    if arriving is not None and rate < CATCHING_UP * arriving:
        return f"It does not catch up: add `sequence worker {stage.name}`, up to one for each partition."
    left = stage.lag_records / (rate - (arriving or 0.0))
    return f"Nothing: at the present rate it has caught up in {span(left)}."


def _arriving(stage: Stage, rates: Rates | None) -> float | None:
    if rates is None or stage.name == "persons":
        return None
    return rates.accepted if stage.name == "dedupe" else rates.unique + rates.duplicates


def _log_of(status: Status, name: str) -> str:
    """Return what to do about process *name* of the local stack."""
    found = [process for process in status.processes if process.name == name]
    if not found:
        return "Read the log of `sequence up`."
    may_hang = found[0].pid is not None and found[0].state is None  # A finding of its own tells of one that was asked.
    hangs = f" If process {found[0].pid} hangs, end it: `kill -9 {found[0].pid}`." if may_hang else ""
    return f"Read {found[0].log}. `sequence up` starts a process again that has ended.{hangs}"


def span(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86_400:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} days"
