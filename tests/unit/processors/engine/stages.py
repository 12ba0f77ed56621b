"""Stages and events for tests of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace

from faust.types import TP

from processors.engine.stage import AssignedOffsets, InputOffsets, Membership, RecordBatch
from tests.support.records import SlimRecord

ITEMS = TP("items", 0)


class CountingStage:
    """A stage that does nothing."""

    topic = "items"
    compacted = False
    max_records = 10
    linger_seconds = 0.0
    waiting = False

    def __init__(self, *, compacted: bool = False) -> None:
        self.compacted = compacted

    async def start(self, membership: Membership) -> None: ...

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        return AssignedOffsets(dict.fromkeys(inputs, -1))

    def commit_metadata(self, partition: int) -> str:
        del partition
        return ""

    async def process(self, batch: RecordBatch) -> None: ...

    async def stop(self) -> None: ...


class BusyStage(CountingStage):
    """A stage whose batches take until the test lets them end."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.may_end = asyncio.Event(), asyncio.Event()

    async def process(self, batch: RecordBatch) -> None:
        del batch
        self.started.set()
        await self.may_end.wait()


class BatchEvent:
    """What the runner uses of a Faust event."""

    def __init__(self, *offsets: int, fetch_offset: int = -1) -> None:
        self.value = RecordBatch("items", 0, [SlimRecord(offset) for offset in offsets], fetch_offset)
        self.message = SimpleNamespace(tp=ITEMS)
        self.acknowledged = False

    def ack(self) -> None:
        self.acknowledged = True
