"""A writer on a sink that fails, for the tests of what happens then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from processors.clickhouse.errors import ClickHouseError, RejectedRowsError, UnavailableError
from processors.engine.metrics import WorkerMetrics
from processors.rejected_topic import RejectedTopic
from processors.sink.rows import Block, Row
from processors.sink.writer import TableWriter
from schemas.clickhouse import EVENTS
from schemas.topics import Topics
from tests.contracts.sinks import valid_lease
from tests.fakes.outputs import MemoryOutputs
from tests.fakes.sink import FaultySink

MEMORY = UnavailableError("Code: 241. DB::Exception: Query memory limit exceeded", 241)
CONSTRAINT = ClickHouseError("Code: 469. DB::Exception: Constraint is violated", 469)
UNLISTED = ClickHouseError("Code: 100000. DB::Exception: what is this", 100_000)
VALUE = RejectedRowsError("Code: 6. DB::Exception: Cannot parse string 'x' as Int32", 6)

Fault = Callable[[Sequence[Block]], ClickHouseError | None]


class Case:
    """A writer on a sink that fails, its outputs and its metrics."""

    def __init__(self) -> None:
        self.sink = FaultySink()
        self.outputs = MemoryOutputs()
        self.metrics = WorkerMetrics()
        self.writer = TableWriter(EVENTS, self.sink, RejectedTopic(self.outputs, Topics(), "sink", self.metrics))
        self.refused = 0

    async def start(self) -> Case:
        self.writer.start(valid_lease)
        await self.writer.load_positions(range(4))
        self.sink.calls.clear()
        return self

    async def write(self, rows: Sequence[Row], partition: int = 0) -> None:
        async with asyncio.timeout(20):
            await self.writer.write_rows(rows, partition, self._refuse)

    def _refuse(self) -> None:
        self.refused += 1

    @property
    def stored(self) -> list[tuple[int, int]]:
        return sorted((row.partition, row.source_offset) for row in self.sink.rows["events"])

    @property
    def rejected(self) -> list[tuple[str, int]]:
        """Return code and source offset of each rejection."""
        made = [msgspec.json.decode(record.value) for record in self.outputs.records[Topics().rejected]]
        return [(each["code"], msgspec.json.decode(each["content"])["_origin"]) for each in made]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def with_row(source_offset: int, error: ClickHouseError, partition: int = 0) -> Fault:
    """Return a fault of every INSERT that has the row."""
    return lambda blocks: (
        error
        if any(row.source_offset == source_offset and row.partition == partition for b in blocks for row in b.rows)
        else None
    )


def larger_than(rows: int, error: ClickHouseError = MEMORY) -> Fault:
    return lambda blocks: error if sum(len(block.rows) for block in blocks) > rows else None
