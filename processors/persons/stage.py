"""The fold stage: `identifies.v1` to `persons.v1`."""

from __future__ import annotations

import logging

from processors.engine.changelog_table import ChangelogTable
from processors.engine.producer import Output
from processors.engine.stage import AssignedOffsets, Lease, Put, RecordBatch, SourceRecord
from processors.persons.fold import fold_batch
from processors.persons.replay import STALE_KEYS, stale_keys
from processors.rejected import RejectedRecord, RejectionCode
from processors.rejected_topic import RejectedTopic
from schemas.items import Identify
from schemas.persons import decode_person
from schemas.records import InvalidRecordError, decode_item, encode_item, person_key
from schemas.topics import Topics

log = logging.getLogger(__name__)


class FoldStage:
    """Folds identifies with the table `persons`, whose changelog is `persons.v1`."""

    compacted = False
    max_records = 2_000
    linger_seconds = 0.1
    waiting = False

    def __init__(self, topics: Topics, persons: ChangelogTable, rejected: RejectedTopic) -> None:
        self.topic = topics.identifies
        self._persons = persons
        self._rejected = rejected

    async def start(self, lease: Lease) -> None:
        """Do nothing: `persons.v1` has one writer for each partition, and the table detects another."""

    async def assigned(self, partitions: frozenset[int]) -> AssignedOffsets:
        """Return the processed offsets that the table has, after publishing persons whose newest record is stale."""
        positions = await self._persons.positions(self.topic, partitions)
        for partition in partitions:
            await self._publish_stale(partition)
        return positions

    async def _publish_stale(self, partition: int) -> None:
        state = self._persons.partition(partition)
        keys = stale_keys(state.get_many)
        if keys:
            log.info("%s[%d]: publishing %d persons with a stale record", self._persons.topic, partition, len(keys))
            outputs = [Output(key, value) for key, value in zip(keys, state.get_many(keys), strict=True)]
            await self._persons.write(
                partition, outputs, [(STALE_KEYS, None, 0)], processed_offset=state.processed_offset
            )

    async def process(self, batch: RecordBatch) -> None:
        """Fold the identifies of *batch* and write the persons that changed."""
        state = self._persons.partition(batch.partition)
        identifies: list[tuple[bytes, Identify]] = []
        rejected: list[RejectedRecord] = []
        for record in batch.records:
            try:
                identifies.append((record.key or b"", _identify(record)))
            except InvalidRecordError as error:
                rejected.append(RejectedRecord(record, RejectionCode.NOT_AN_ITEM, str(error)))
        await self._rejected.write_records(rejected)
        keys = list({key for key, _ in identifies})
        persons = {
            key: None if value is None else decode_person(value)
            for key, value in zip(keys, state.get_many(keys), strict=True)
        }
        folded = fold_batch(identifies, persons)
        await self._rejected.write(
            (
                self._rejected.rejection(code, message, key=key, message_id=identify.message_id),
                encode_item(identify),
            )
            for key, identify, code, message in folded.rejected
        )
        outputs = [Output(key, value) for key, value in folded.changed.items()]
        puts: list[Put] = [(key, value, 0) for key, value in folded.changed.items()]
        await self._persons.write(batch.partition, outputs, puts, processed_offset=batch.last_offset)

    async def stop(self) -> None:
        """Log the last rejections; the stage holds no resources."""
        self._rejected.stop()


def _identify(record: SourceRecord) -> Identify:
    item = decode_item(record.value)
    if not isinstance(item, Identify):
        raise InvalidRecordError("The record is not an identify.")
    if person_key(item.project_id, item.user_id) != record.key:
        raise InvalidRecordError("The record's key is not `project/userId` of its identify.")
    return item
