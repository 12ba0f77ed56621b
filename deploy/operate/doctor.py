"""`sequence doctor`: checks a deployment or the local stack, and says what to do about each finding."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError

from deploy import topic_admin
from deploy import topics as declared_topics
from deploy.errors import OperateError
from deploy.operate import (
    broker_disks,
    doctor_kafka,
    doctor_local,
    doctor_table_rules,
    doctor_tables,
    kafka_reader,
    lag,
    positions,
)
from deploy.operate.doctor_result import Check, Report, unchecked
from deploy.operate.lag import StageLag
from deploy.operate.servers import Servers
from deploy.operate.status import Asked, Watch
from deploy.operate.status_result import Status
from processors.clickhouse.errors import ClickHouseError
from processors.sink.logs import ClickHouseLogs, LogIdentity, find
from processors.sink.resume import lagging
from schemas.denials import denial
from schemas.settings import TopicSettings
from schemas.topics import VERSION, Topics


def examine(asked: Asked, topics: TopicSettings) -> Report:
    """Return every check that can be made; *topics* are the settings that `sequence topics apply` has."""
    return asyncio.run(_examine(asked, topics))


async def _examine(asked: Asked, topics: TopicSettings) -> Report:
    async with Watch(asked) as watch:
        status = await watch.status()
    checks = [_parts(status)]
    if asked.state is not None:
        checks += [doctor_local.disk_of_state(asked.state), doctor_local.open_files(status.processes)]
    clickhouse_ahead, has_tables = None, status.clickhouse.is_up
    if has_tables:
        found, clickhouse_ahead = await asyncio.to_thread(_tables, asked.servers)
        checks += found
        has_tables = all(check.name != doctor_table_rules.TOO_SLOW for check in found)
    if status.kafka.is_up:
        ahead = {each.url: each.clock_seconds for each in status.gateways if each.clock_seconds is not None}
        clocks = _Clocks(clickhouse_ahead, ahead)
        checks += await _kafka(asked.servers, topics, clocks, has_tables=has_tables)
    return Report(at=status.at, checks=checks)


def _parts(status: Status) -> Check:
    """Return the check of what runs, which is that of `sequence status`."""
    workers = ", ".join(f"{stage.members} {stage.name}" for stage in status.stages)
    gateways = sum(gateway.is_ready for gateway in status.gateways)
    about = f"workers: {workers or 'unknown'}; gateways asked: {len(status.gateways)}, ready: {gateways}"
    return Check(name="parts of the pipeline", about=about, findings=status.findings)


def _tables(servers: Servers) -> tuple[list[Check], float | None]:
    with servers.tables() as clickhouse:
        found = doctor_tables.checks(servers.clickhouse, clickhouse)
        try:
            return found, doctor_tables.ahead(clickhouse)
        except ClickHouseError:
            return found, None


class _Clocks(NamedTuple):
    """By how many seconds clocks are ahead of this machine's."""

    clickhouse: float | None
    gateways: Mapping[str, float]


async def _kafka(servers: Servers, topics: TopicSettings, ahead: _Clocks, *, has_tables: bool) -> list[Check]:
    names = Topics(servers.kafka.topic_prefix)
    declared = declared_topics.declared(servers.kafka, topics)
    try:
        async with topic_admin.connected(servers.kafka) as admin:
            existing = await admin.partitions()
            settings = await admin.settings([topic for topic in declared if topic.name in existing])
        async with kafka_reader.connected(servers.kafka) as reader:
            stages = await lag.read(reader, names, existing)
            items = await doctor_kafka.newest_items(reader, names, existing)
            cluster, _ = await reader.cluster()
            disks = await reader.disks({topic: len(existing.get(topic, ())) for topic in names.every})
    except (KafkaError, OperateError, OSError) as error:
        return [unchecked("topics", denial(error) or str(error) or type(error).__name__)]
    now = time.time()
    checks = [
        broker_disks.check(disks, servers.kafka.min_free_bytes),
        doctor_kafka.topics(declared, existing, settings),
        doctor_kafka.retention(stages, settings, now),
        doctor_kafka.clocks(items, ahead.clickhouse, ahead.gateways, now),
    ]
    if has_tables and names.items in existing:
        identity = LogIdentity(cluster, names.prefix, VERSION, len(existing[names.items]))
        checks.append(await asyncio.to_thread(_positions, servers, identity, stages))
    return checks


def _positions(servers: Servers, identity: LogIdentity, stages: list[StageLag]) -> Check:
    """Return the check whether tables show less than the sink had written at its last commit."""
    try:
        with servers.tables() as clickhouse:
            log = find(ClickHouseLogs(clickhouse, clickhouse.database).registered(), identity)
            shown = {
                (each.table.name, each.partition): each.position
                for each in positions.read(clickhouse)
                if each.log == log
            }
    except ClickHouseError as error:
        return unchecked("positions", str(error))
    (sink,) = [stage for stage in stages if stage.name == "sink"]
    found = []
    for (_, partition), each in sink.inputs.items():
        committed: Mapping[str, Any] = each.noted_positions()
        present = {table: shown.get((table, partition), -1) for table in committed}
        found += [
            (behind.table, partition, behind.position, behind.committed) for behind in lagging(present, committed)
        ]
    return doctor_table_rules.rolled_back(found)
