"""The fold stage: `identifies.v1` to `persons.v1`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from processors.engine.changelog_table import ChangelogTable
from processors.engine.producer import Output
from processors.engine.stage import AssignedOffsets, InputOffsets, Membership, Put, RecordBatch, SourceRecord
from processors.persons.fold import KeyedIdentify, Part, RejectedIdentify, fold_batch, in_parts
from processors.persons.replay import STALE_KEYS, stale_keys
from processors.rejected import RejectedRecord, RejectionCode, source_of
from processors.rejected_topic import RejectedTopic
from schemas.items import Identify
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
        # A counter that appears with its first identify would show no increase.
        rejected.metrics.count_items("persons", folded=0, unchanged=0, rejected=0)

    async def start(self, membership: Membership) -> None:
        """Do nothing: `persons.v1` has one writer for each partition, and the table detects another."""

    async def assigned(self, inputs: Mapping[int, InputOffsets]) -> AssignedOffsets:
        """Return the processed offsets that the table has, after publishing persons whose newest record is stale."""
        positions = await self._persons.positions(self.topic, inputs)
        for partition in inputs:
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

    def commit_metadata(self, partition: int) -> str:
        """Return nothing: the local state and its log tell what is processed."""
        del partition
        return ""

    async def process(self, batch: RecordBatch) -> None:
        """Fold the identifies of *batch* and write the persons that changed."""
        identifies: list[KeyedIdentify] = []
        read: list[SourceRecord] = []
        rejected: list[RejectedRecord] = []
        for record in batch.records:
            try:
                identifies.append((record.key or b"", _identify(record)))
                read.append(record)
            except InvalidRecordError as error:
                rejected.append(RejectedRecord(record, RejectionCode.NOT_AN_ITEM, str(error)))
        await self._rejected.write_records(rejected, batch.topic, batch.partition)
        self._rejected.metrics.count_items("persons", rejected=len(rejected))
        folded = 0
        for part in in_parts(identifies, self._persons.partition(batch.partition).get_many):
            await self._write(batch.partition, part, read[folded : folded + len(part.identifies)])
            folded += len(part.identifies)
        if not identifies or read[-1].offset != batch.last_offset:
            await self._persons.write(batch.partition, [], [], processed_offset=batch.last_offset)

    async def _write(self, partition: int, part: Part, read: Sequence[SourceRecord]) -> None:
        """Write the outputs of *part*, whose identifies are those of the records *read*."""
        folded = fold_batch(part.identifies, part.persons)
        if folded.rejected:
            await self._reject(partition, folded.rejected, part, read)
        changed = len(part.identifies) - folded.unchanged - len(folded.rejected)
        self._rejected.metrics.count_items(
            "persons", folded=changed, unchanged=folded.unchanged, rejected=len(folded.rejected)
        )
        outputs = [Output(key, value) for key, value in folded.changed.items()]
        puts: list[Put] = [(key, value, 0) for key, value in folded.changed.items()]
        await self._persons.write(partition, outputs, puts, processed_offset=read[-1].offset)

    async def _reject(
        self, partition: int, rejected: Sequence[RejectedIdentify], part: Part, read: Sequence[SourceRecord]
    ) -> None:
        records = {id(identify): record for (_, identify), record in zip(part.identifies, read, strict=True)}
        sources = [source_of(records[id(each.identify)], self.topic, partition) for each in rejected]
        await self._rejected.write(
            (
                self._rejected.rejection(
                    each.code, each.message, key=each.key, source=source, message_id=each.identify.message_id
                ),
                encode_item(each.identify),
            )
            for each, source in zip(rejected, sources, strict=True)
        )

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
