"""`items.v1` to `events.v1`: each messageId once, in the partition that it came in; identifies go on by user, too."""

from __future__ import annotations

from processors.dedupe.decision import RejectedRecord, decide, pack_entry
from processors.engine.changelog_table import ChangelogTable
from processors.engine.producer import ChangelogProducer, Output
from processors.engine.rocksdb import Put
from processors.engine.stage import Lease, Positions, RecordBatch, SourceRecord
from processors.rejected import RejectedTopic, rejection
from schemas.records import event_headers, identify_record
from schemas.topics import Topics


class DedupeStage:
    """Drops repeated messageIds with the table `seen`, whose changelog is `events.v1`.

    Identifies go to `identifies.v1` as well, keyed by their user, so that one worker sees all of a person. Many write
    there, so a failure can repeat records; the fold takes a repeat as nothing new.
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
        self._seen = seen
        self._outputs = outputs
        self._rejected = rejected
        self._window_ms = window_ms

    async def start(self, lease: Lease) -> None:
        """Need nothing: a worker that lost its partition writes what readers drop by its origin."""

    async def assigned(self, partitions: frozenset[int]) -> Positions:
        """Return how far each partition is decided by its marks."""
        return await self._seen.positions(self.topic, partitions)

    async def process(self, batch: RecordBatch) -> None:
        """Write the items that are new, then mark them."""
        state = self._seen.partition(batch.partition)
        keys = list({record.key for record in batch.records if record.key is not None})
        marks = dict(zip(keys, state.get_many(keys), strict=True))
        decision = decide(batch.records, marks, self._window_ms)
        await self._reject(decision.poison)
        # Before the events: an item whose event is written is decided, and nobody would send it again.
        await self._outputs.send(
            self._identifies,
            [
                identify_record(item, record.value or b"", origin=record.offset, partition=batch.partition)
                for record, item in decision.identifies
            ],
        )
        await self._seen.write(
            batch.partition,
            [_event(record) for record in decision.unique],
            [_put(record) for record in decision.unique],
            processed_offset=batch.last_offset,
        )

    async def stop(self) -> None:
        """Hold nothing."""

    async def _reject(self, poison: list[RejectedRecord]) -> None:
        await self._rejected.write(
            (
                rejection(stage="dedupe", code=fault.code, message=fault.message, key=fault.record.key),
                fault.record.value or b"",
            )
            for fault in poison
        )


def _event(record: SourceRecord) -> Output:
    key = record.key or b""
    message_id = key.partition(b"/")[2]
    # The time of the item goes with it: it is what the mark is aged by, also after a rebuild.
    return Output(key, record.value, event_headers(message_id, record.offset), record.timestamp)


def _put(record: SourceRecord) -> Put:
    return record.key or b"", pack_entry(record.offset, record.timestamp), record.timestamp
