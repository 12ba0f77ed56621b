"""Accepts a loss over which a worker refuses to continue (exit code 78), partition by partition.

A worker exits if its input expired before it was read, or if rows are missing that `events.v1` no longer has. A person
decides that it continues with the first record that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deploy.errors import OperateError
from deploy.operate import logs, offsets, positions
from deploy.operate.events_log import first_source_offset
from deploy.operate.offsets import Input
from deploy.operate.servers import Servers
from processors.sink.logs import ClickHouseLogs
from schemas.clickhouse import TABLES
from schemas.settings import KafkaSettings
from schemas.topics import Topics

Stage = Literal["dedupe", "persons", "sink"]


@dataclass(frozen=True, slots=True)
class Loss:
    """What a stage gives up of one partition of its input."""

    read: Input
    lines: Sequence[str]
    """A sentence each."""


def find(servers: Servers, stage: Stage, partitions: Sequence[int], say: Callable[[str], None]) -> list[Loss]:
    """Return what workers of *stage* give up of each of their inputs; *say* is called before a wait.

    Raises `OperateError` while such a worker runs, or for a partition that does not exist.
    """
    topics = Topics(servers.kafka.topic_prefix)
    names = {"dedupe": [topics.items], "persons": [topics.identifies], "sink": [*topics.of_tables]}[stage]
    group = servers.ask_kafka(
        lambda kafka: offsets.group_without_members(kafka, f"{topics.prefix}-{stage}", names, say)
    )
    if missing := [str(number) for number in partitions if (names[0], number) not in group.inputs]:
        raise OperateError(f"{names[0]} has no partition {', '.join(missing)}.")
    chosen = [group.inputs[topic, number] for topic in names for number in partitions]
    tables = _table_positions(servers) if stage == "sink" else {}
    firsts = servers.ask_kafka(lambda kafka: _first_positions(kafka, chosen)) if stage == "sink" else {}
    return [Loss(read, [*_expired(read), *_missing(read, tables, firsts)]) for read in chosen]


def accept(servers: Servers, stage: Stage, losses: Sequence[Loss]) -> None:
    """Let the workers of *stage* continue with the first record that is left."""
    if stage == "sink":
        log = logs.current(servers)
        with servers.tables() as clickhouse:
            registered = ClickHouseLogs(clickhouse, servers.clickhouse.database)
            for loss in losses:
                topic = loss.read.topic.removeprefix(f"{servers.kafka.topic_prefix}.")
                registered.accept_loss(log, topic, loss.read.partition, loss.read.log_start)
    commits = {
        (loss.read.topic, loss.read.partition): loss.read.log_start
        for loss in losses
        if loss.read.committed is None or loss.read.committed < loss.read.log_start
    }
    if commits:
        servers.ask_kafka(lambda kafka: offsets.commit(kafka, f"{kafka.topic_prefix}-{stage}", commits))


def _expired(read: Input) -> list[str]:
    place = f"{read.topic}[{read.partition}]"
    if read.log_start == 0:
        return []
    if read.committed is None:
        return [f"{place}: offsets below {read.log_start} that were not read. They have expired."]
    if read.committed < read.log_start:
        return [f"{place}: offsets {read.committed} to {read.log_start - 1}. They have expired."]
    return []


def _missing(read: Input, tables: Mapping[tuple[str, int], int], firsts: Mapping[tuple[str, int], int]) -> list[str]:
    """Return what may be missing of the tables that are filled from *read*."""
    first = firsts.get((read.topic, read.partition))
    if first is None:
        return []
    found = []
    for table in TABLES:
        position = tables.get((table.name, read.partition), -1)
        if read.topic.endswith(f".{table.topic}") and position + 1 < first:
            found.append(
                f"{table.name}: rows of partition {read.partition} with source offsets {position + 1} to {first - 1} "
                f"that are not in the table. {read.topic} begins after them."
            )
    return found


def _table_positions(servers: Servers) -> dict[tuple[str, int], int]:
    """Return the position of each table and partition of the log of *servers*."""
    log = logs.current(servers)
    with servers.tables() as clickhouse:
        return {
            (each.table.name, each.partition): each.position for each in positions.read(clickhouse) if each.log == log
        }


async def _first_positions(kafka: KafkaSettings, inputs: Sequence[Input]) -> dict[tuple[str, int], int]:
    """Return the source offset of the first record of each input of the sink that has records."""
    found: dict[tuple[str, int], int] = {}
    for read in inputs:
        first: int | None = read.log_start
        if not read.topic.endswith(".persons.v1"):
            first = await first_source_offset(kafka, read)
        if first is not None:
            found[read.topic, read.partition] = first
    return found
