"""Whether the sink and what it shares have a mechanism: each function runs it once and tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.errors import PartitionsError
from gateway.kafka import partitions as gateway_partitions
from processors.clickhouse.codes import FaultKind
from processors.dedupe import decision
from processors.engine.errors import (
    ExpiredInputError,
    ForeignDatabaseError,
)
from processors.rejected_topic import RejectedTopic
from processors.sink import attempts, resume
from processors.sink.attempts import Evidence, Step
from processors.sink.insert import ClickHouseSink
from processors.sink.logs import ClickHouseLogs, LogIdentity
from processors.sink.resume import Window
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS, Table
from schemas.projects import Deployment
from schemas.topics import DAY_MS, Topics
from tests.contracts.sinks import FixedLease, block, tracks, valid_lease
from tests.fakes.outputs import MemoryOutputs
from tests.fakes.sink import MemorySink
from tests.support.records import item_read, track
from tests.unit.processors.sink.test_assignment import Sink
from tests.unit.processors.sink.test_lease import Worker as LeaseWorker
from tests.unit.processors.sink.test_lease import World


async def writer_knows_which_rows_the_table_has() -> bool:
    sink = MemorySink()
    sink.insert([block(range(5))], valid_lease)
    writer = TableWriter(EVENTS, sink, RejectedTopic(MemoryOutputs(), Topics("s"), "sink"))
    return await writer.load_positions([0]) == {0: 4}


async def error_makes_the_writer_ask_the_table() -> bool:
    sink = MemorySink()
    writer = TableWriter(EVENTS, sink, RejectedTopic(MemoryOutputs(), Topics("s"), "sink"))
    await writer.load_positions([0])
    written = block(range(5))
    sink.insert([written], valid_lease)
    return all(each is not written for each in await writer.missing(written))


class Statements:
    """Takes the place of ClickHouse and keeps each statement with its settings."""

    cluster = ""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Mapping[str, object]]] = []
        self.rows: list[dict[str, object]] = []
        """What a query returns."""

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[dict[str, object]]:
        self.sent.append((sql, parameters or {}))
        return self.rows

    def execute(self, sql: str, body: bytes, settings: Mapping[str, object]) -> int:
        self.sent.append((sql, settings))
        return len(body.splitlines())


async def insert_ignores_errors_of_views() -> bool:
    statements: Any = Statements()
    ClickHouseSink(statements).insert([block(range(5))], valid_lease)
    return bool(statements.sent[-1][1].get("materialized_views_ignore_errors") == 1)


async def noted_positions_count() -> bool:
    statements: Any = Statements()
    ClickHouseSink(statements).positions(EVENTS, 1, [0])
    return "_positions" in statements.sent[-1][0]


async def block_that_fails_repeatedly_is_halved() -> bool:
    failed = Evidence(FaultKind.SIZE, rows=10, size_bytes=10, failures=9, unparsable=False, others_written=True)
    return attempts.next_step(failed) is Step.HALVE


async def another_number_of_partitions_is_refused() -> bool:
    deployment = Deployment(partitions=4, added_at=0)
    try:
        gateway_partitions.Partitions(Topics("s"), lambda: deployment).require({"s.items.v1": 8})
    except PartitionsError:
        return True
    return False


async def table_below_the_commit_is_noticed() -> bool:
    return resume.lagging({"events": 1}, {"events": 2}) != []


async def one_low_record_proves_nothing() -> bool:
    window = Window(10)
    window.add(5)
    return not window.is_full


async def another_log_is_refused() -> bool:
    statements: Any = Statements()
    statements.rows = [
        {"id": 1, "cluster_id": "another", "topic_prefix": "s", "topic_version": "v1", "partitions": 4, "_log": 1}
    ]
    try:
        ClickHouseLogs(statements, "sequence").find_or_register(LogIdentity("this", "s", "v1", 4))
    except ForeignDatabaseError:
        return True
    return False


async def forgotten_group_is_not_new() -> bool:
    sink = Sink()
    sink.publish(range(15, 30))
    sink.fill(range(10))
    try:
        await sink.start(range(15, 30))
    except ExpiredInputError:
        return True
    return False


async def rows_are_written_again_with_another_token() -> bool:
    statements: Any = Statements()
    sink = ClickHouseSink(statements)
    sink.insert([block(range(5))], valid_lease)
    sink.renew_tokens(EVENTS, 1, [0])
    sink.insert([block(range(5))], valid_lease)
    tokens = [settings["insert_deduplication_token"] for _, settings in statements.sent]
    return bool(tokens[0] != tokens[1])


async def time_of_one_clock_does_not_move_the_window() -> bool:
    now, year = 1_767_225_601_000, 365 * DAY_MS
    item = item_read(0, track("m"), timestamp=now + year)
    (entry,) = decision.decide([item], {item.key or b"": None}, 7 * DAY_MS, now).entries
    return bool(entry[2] == now)


async def lease_ends_while_the_host_is_suspended() -> bool:
    world = World()
    worker = LeaseWorker(world)
    worker.lease.read()
    worker.heartbeat()
    assert world.written(worker.lease.deadline)
    world.suspend(60)
    worker.lease.read()
    return not world.written(worker.lease.deadline)


async def restored_table_is_noticed_after_an_interruption() -> bool:
    sink, lease = CountingSink(), FixedLease(60)
    writer = TableWriter(EVENTS, sink, RejectedTopic(MemoryOutputs(), Topics("s"), "sink"))
    writer.start(lease)
    await writer.load_positions([0])
    asked = sink.asked
    lease.interruptions += 1
    await writer.write_rows(tracks(range(5)), 0)
    return sink.asked == asked + 1


class CountingSink(MemorySink):
    """Counts how often it is asked whether INSERTs are running, as it is before each reading of positions."""

    asked = 0

    def wait_for_running_inserts(self, table: Table, log: int, partitions: Iterable[int]) -> None:
        super().wait_for_running_inserts(table, log, partitions)
        self.asked += 1
