"""The dedupe stage: `items.v1` to `events.v1` or `duplicates.v1` in the same partition, and identifies by user."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from processors.dedupe.clock_log import ClockLog
from processors.dedupe.decision import decide
from processors.engine.changelog_table import ChangelogTable
from processors.engine.producer import ChangelogProducer
from processors.engine.stage import AssignedOffsets, InputOffsets, Membership, RecordBatch
from processors.rejected_topic import RejectedTopic
from schemas.records import identify_record
from schemas.topics import Topics


class DedupeStage:
    """Takes repeated messageIds out with the table `seen`, whose changelog is `events.v1`.

    What is taken out is on `duplicates.v1`, at least once.
    Identifies are written to `identifies.v1` as well, keyed by user, so that one worker reads all of a person. That
    topic has many writers, so its records can repeat after a failure; the fold ignores repeats.
    """

    compacted = False
    max_records = 5_000
    linger_seconds = 0.04
    waiting = False

    def __init__(
        self, topics: Topics, seen: ChangelogTable, outputs: ChangelogProducer, rejected: RejectedTopic, window_ms: int
    ) -> None:
        self.topic = topics.items
        self._identifies = topics.identifies
        self._duplicates = topics.duplicates
        self._seen = seen
        self._outputs = outputs
        self._rejected = rejected
        self._window_ms = window_ms
        self._clocks = ClockLog()
        # A counter that appears with its first item would show no increase.
        rejected.metrics.count_items("dedupe", unique=0, duplicate=0, rejected=0)

    async def start(self, membership: Membership) -> None:
        """Do nothing: readers drop what a worker writes after it lost its partition, by the source offset."""

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return the processed offsets that the table `seen` has."""
        return await self._seen.positions(self.topic, inputs)

    def commit_metadata(self, partition: int) -> str:
        """Return nothing: the local state and its log tell what is processed."""
        del partition
        return ""

    async def process(self, batch: RecordBatch) -> None:
        """Write the duplicates and the unique items of *batch*, then the dedupe entries."""
        state = self._seen.partition(batch.partition)
        keys = list({record.key for record in batch.records if record.key is not None})
        entries = dict(zip(keys, state.get_many(keys), strict=True))
        decision = decide(batch.records, entries, self._window_ms, state.clock_ms)
        self._clocks.add(decision.disagreements, batch.records[-1].timestamp, time.time_ns() // 1_000_000)
        # Before the events: once an event is written, items up to it are processed and would never be written.
        await asyncio.gather(
            self._rejected.write_records(decision.rejected, batch.topic, batch.partition),
            self._outputs.send(
                self._identifies,
                [
                    identify_record(item, record.value or b"", source_offset=record.offset, partition=batch.partition)
                    for record, item in decision.identifies
                ],
            ),
            self._outputs.send_to(self._duplicates, batch.partition, decision.duplicates),
        )
        await self._seen.write(batch.partition, decision.events, decision.entries, processed_offset=batch.last_offset)
        self._rejected.metrics.count_items(
            "dedupe", unique=len(decision.events), duplicate=len(decision.duplicates), rejected=len(decision.rejected)
        )

    async def stop(self) -> None:
        """Log the last rejections; the stage holds no resources."""
        self._rejected.stop()
