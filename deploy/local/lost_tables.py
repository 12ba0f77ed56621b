"""New tables beside a Kafka that has been in use, for example after `.sequence/clickhouse` was deleted.

The sink fills the tables with all that Kafka still has. What has expired is lost with the tables that were deleted, and
the sink does not refuse because of it: nobody restores a backup under a local stack that runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from deploy.operate import logs, offsets
from deploy.operate.offsets import Input
from processors.clickhouse.client import ClickHouse
from processors.sink.logs import FIRST_ID, ClickHouseLogs, LogIdentity
from schemas.settings import ClickHouseSettings, KafkaSettings
from schemas.topics import Topics


async def accept_expired(kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> bool:
    """Accept that records which have expired are not in new tables; return whether the sink has records to load.

    Does nothing, and returns False, if the tables belong to a log already.
    """
    if not await asyncio.to_thread(_are_new, clickhouse):
        return False
    topics = Topics(kafka.topic_prefix)
    group = await offsets.group(kafka, f"{topics.prefix}-sink", topics.of_tables)
    inputs = list(group.inputs.values())
    await asyncio.to_thread(_accept, clickhouse, await logs.identity(kafka), topics.prefix, inputs)
    return any(each.log_start < each.log_end for each in inputs)


def _are_new(settings: ClickHouseSettings) -> bool:
    clickhouse = ClickHouse(settings)
    try:
        found = ClickHouseLogs(clickhouse, settings.database)
        return not found.registered() and not found.rows_of()
    finally:
        clickhouse.close()


def _accept(settings: ClickHouseSettings, identity: LogIdentity, prefix: str, inputs: Sequence[Input]) -> None:
    clickhouse = ClickHouse(settings)
    try:
        found = ClickHouseLogs(clickhouse, settings.database)
        for each in inputs:
            if each.log_start > 0:
                found.accept_loss(FIRST_ID, each.topic.removeprefix(f"{prefix}."), each.partition, each.log_start)
        # Last: if this is interrupted, the tables are still new at the next start.
        found.find_or_register(identity)
    finally:
        clickhouse.close()
