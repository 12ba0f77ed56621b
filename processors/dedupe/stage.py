"""The dedupe stage: `items.v1` to `events.v1` in the same partition, and identifies to `identifies.v1` by user."""

from __future__ import annotations

from processors.dedupe.decision import decide, pack_entry
from processors.engine.changelog_table import ChangelogTable
from processors.engine.producer import ChangelogProducer, Output
from processors.engine.stage import AssignedOffsets, Lease, Put, RecordBatch, SourceRecord
from processors.rejected_topic import RejectedTopic
from schemas.records import event_headers, identify_record
from schemas.topics import Topics


class DedupeStage:
    """Drops repeated messageIds with the table `seen`, whose changelog is `events.v1`.

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
        self._seen = seen
        self._outputs = outputs
        self._rejected = rejected
        self._window_ms = window_ms

    async def start(self, lease: Lease) -> None:
        """Do nothing: readers drop what a worker writes after it lost its partition, by the source offset."""

    async def assigned(self, partitions: frozenset[int]) -> AssignedOffsets:
        """Return the processed offsets that the table `seen` has."""
        return await self._seen.positions(self.topic, partitions)

    async def process(self, batch: RecordBatch) -> None:
        """Write the unique items of *batch*, then their dedupe entries."""
        state = self._seen.partition(batch.partition)
        keys = list({record.key for record in batch.records if record.key is not None})
        entries = dict(zip(keys, state.get_many(keys), strict=True))
        decision = decide(batch.records, entries, self._window_ms)
        await self._rejected.write_records(decision.rejected)
        # Before the events: once its event is written, an item is processed and its identify would never be written.
        await self._outputs.send(
            self._identifies,
            [
                identify_record(item, record.value or b"", source_offset=record.offset, partition=batch.partition)
                for record, item in decision.identifies
            ],
        )
        await self._seen.write(
            batch.partition,
            [_event(record) for record in decision.unique],
            [_entry(record) for record in decision.unique],
            processed_offset=batch.last_offset,
        )

    async def stop(self) -> None:
        """Log the last rejections; the stage holds no resources."""
        self._rejected.stop()


def _event(record: SourceRecord) -> Output:
    key = record.key or b""
    message_id = key.partition(b"/")[2]
    # The item's time becomes the event's, so that a rebuilt dedupe entry has the same age.
    return Output(key, record.value, event_headers(message_id, record.offset), record.timestamp)


def _entry(record: SourceRecord) -> Put:
    return record.key or b"", pack_entry(record.offset, record.timestamp), record.timestamp
