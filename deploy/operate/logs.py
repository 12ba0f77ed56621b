"""The log that the rows of this deployment belong to: its Kafka cluster, topic prefix, version and partitions."""

from __future__ import annotations

from deploy.errors import OperateError
from deploy.operate import offsets
from deploy.operate.servers import Servers
from processors.sink.logs import ClickHouseLogs, LogIdentity, find
from schemas.settings import KafkaSettings
from schemas.topics import VERSION, Topics


async def identity(kafka: KafkaSettings) -> LogIdentity:
    """Return what distinguishes the log of *kafka*; `OperateError` without its topics."""
    items = Topics(kafka.topic_prefix).items
    cluster, partitions = await offsets.describe(kafka, items)
    return LogIdentity(cluster, kafka.topic_prefix, VERSION, partitions)


def current(servers: Servers) -> int:
    """Return the ID in `_logs` of the log of *servers*; `OperateError` if it is not registered."""
    log = servers.ask_kafka(identity)
    with servers.tables() as clickhouse:
        found = find(ClickHouseLogs(clickhouse, servers.clickhouse.database).registered(), log)
    if found is None:
        raise OperateError(
            f"The database {servers.clickhouse.database} has no rows of this log: {log}. `sequence worker sink` "
            "registers it at its start. If this Kafka replaces another for good, run `sequence positions add-log`."
        )
    return found


def add(servers: Servers, log: int | None) -> tuple[int, LogIdentity]:
    """Register the log of *servers* beside those that are, and return its ID; *log* is the ID that it had."""
    described = servers.ask_kafka(identity)
    with servers.tables() as clickhouse:
        return ClickHouseLogs(clickhouse, servers.clickhouse.database).register(described, log), described
